/* A provider that takes every mail: the stand-in for SendGrid in the benchmarks.
 *
 * One thread, epoll, HTTP/1.1 with kept connections. A POST is answered 202 with a fresh
 * X-Message-Id once its whole body has come; GET answers how many POSTs and body bytes came so far.
 * It prints its port in one line and serves until its standard input is closed. Not for anything
 * but a benchmark: it trusts its peer.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (256 * 1024)
#define EVENTS_MAX 256

struct peer {
    int fd;
    size_t held;
    char data[BUFFER_BYTES];
};

static unsigned long long posts, body_bytes;

/* The number after "content-length:" in a head, 0 where there is none. */
static size_t content_length(const char *head, const char *end) {
    for (const char *line = head; line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        if (next == NULL) break;
        if (strncasecmp(line, "content-length:", 15) == 0) return strtoul(line + 15, NULL, 10);
        line = next + 1;
    }
    return 0;
}

static int answer(int fd, int is_post) {
    char text[256], body[64] = "";
    int body_length = 0, length;
    if (is_post) {
        length = snprintf(text, sizeof text,
            "HTTP/1.1 202 Accepted\r\nServer: sink\r\nX-Message-Id: bench-%llu\r\n"
            "Content-Length: 0\r\n\r\n", posts);
    } else {
        body_length = snprintf(body, sizeof body, "%llu %llu", posts, body_bytes);
        length = snprintf(text, sizeof text,
            "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", body_length, body);
    }
    return send(fd, text, (size_t)length, MSG_NOSIGNAL) == length ? 0 : -1;
}

/* Answer every whole request that a peer has sent; -1 when the peer is of no more use. */
static int take(struct peer *peer) {
    for (;;) {
        char *end = memmem(peer->data, peer->held, "\r\n\r\n", 4);
        if (end == NULL) return peer->held == BUFFER_BYTES ? -1 : 0;
        size_t head = (size_t)(end - peer->data) + 4;
        size_t whole = head + content_length(peer->data, end + 2);
        if (whole > BUFFER_BYTES) return -1;
        if (peer->held < whole) return 0;
        int is_post = strncmp(peer->data, "POST ", 5) == 0;
        if (is_post) {
            posts++;
            body_bytes += whole - head;
        }
        if (answer(peer->fd, is_post) < 0) return -1;
        peer->held -= whole;
        memmove(peer->data, peer->data + whole, peer->held);
    }
}

static void drop(struct peer *peer) {
    close(peer->fd);
    free(peer);
}

static void serve(struct peer *peer) {
    ssize_t got = recv(peer->fd, peer->data + peer->held, BUFFER_BYTES - peer->held, 0);
    if (got <= 0) {
        drop(peer);
        return;
    }
    peer->held += (size_t)got;
    if (take(peer) < 0) drop(peer);
}

static void admit(int poll, int listener) {
    int fd = accept(listener, NULL, NULL), one = 1;
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        close(fd);
        return;
    }
    peer->fd = fd;
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = peer};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &wanted);
}

static int listen_here(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, size) < 0) return -1;
    if (listen(listener, 1024) < 0) return -1;
    getsockname(listener, (struct sockaddr *)&at, &size);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    return listener;
}

int main(void) {
    struct epoll_event ready[EVENTS_MAX];
    int listener = listen_here(), poll = epoll_create1(0);
    if (listener < 0 || poll < 0) return 1;
    struct epoll_event on_peer = {.events = EPOLLIN, .data.ptr = NULL};
    struct epoll_event on_end = {.events = EPOLLIN | EPOLLHUP, .data.ptr = &posts};
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &on_peer);
    epoll_ctl(poll, EPOLL_CTL_ADD, STDIN_FILENO, &on_end);
    for (;;) {
        int count = epoll_wait(poll, ready, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (ready[i].data.ptr == &posts) return 0;
            if (ready[i].data.ptr == NULL) admit(poll, listener);
            else serve(ready[i].data.ptr);
        }
    }
}
