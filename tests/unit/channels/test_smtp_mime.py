from __future__ import annotations

import random
import string
import time
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import Any, cast

import pytest
from support.messages import AT

from channels.contract import EmailContent
from channels.mime import Ids, Mailbox, MimeError, mail_address, mail_bytes, message_id

IDS = Ids("de-1@shop.example", "at-1")
SHOP = Mailbox("hi@shop.example", "Shop")
ANA = Mailbox("ana@example.com", "Ana")
MEANT = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "X-Attempt-ID",
    "MIME-Version",
    "Content-Type",
}


def written(to: Mailbox = ANA, sender: Mailbox = SHOP, **changes: Any) -> bytes:
    """A mail with some differences, as bytes."""
    content = {"subject": "We miss you", "html": "<p>Hello</p>", "text": "Hello"} | changes
    return mail_bytes(EmailContent(**content), sender=sender, to=to, ids=IDS, date=AT)


def read(mail: bytes) -> EmailMessage:
    """A mail as Python's own parser reads it, without a single defect."""
    found = cast("EmailMessage", message_from_bytes(mail, policy=policy.default))
    assert [part.defects for part in found.walk() if part.defects] == []
    return found


def part(mail: EmailMessage, kind: str) -> str:
    """The text of one part, to the last character."""
    found = mail.get_body((kind,))
    assert found is not None
    payload = found.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode().replace("\r\n", "\n")


TEXTS = [
    "Hello",
    "",
    "Plain with = and trailing space \nand a tab\t\n.\n..dots\nFrom here",
    "Привет, Ана! Мы скучаем.\nВозвращайтесь",
    "日本語の本文です。" * 40,
    "one é in a long English sentence " * 20,
    "<p>" + "x" * 3000 + "</p>",
    "line\r\nline\rline\n\n\n",
    "emoji 👩\u200d👩\u200d👧 and \u200fעברית",
    "\x00\x1b not text",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_read_is_what_was_written(text: str) -> None:
    """Both parts, whatever they hold; line ends are the mail's own."""
    mail = read(written(text=text or "x", html=text or "x"))
    expected = (text or "x").replace("\r\n", "\n").replace("\r", "\n")
    assert mail.get_content_type() == "multipart/alternative"
    assert [one.get_content_type() for one in mail.iter_parts()] == ["text/plain", "text/html"]
    assert part(mail, "plain") == expected
    assert part(mail, "html") == expected


@pytest.mark.parametrize("kind", ["plain", "html"])
def test_one_part_alone_needs_no_frame(kind: str) -> None:
    """A mail may be only text or only HTML."""
    other = "text" if kind == "html" else "html"
    mail = read(written(**{other: ""}))
    assert mail.get_content_type() == f"text/{kind}"
    assert "Hello" in part(mail, kind)


@pytest.mark.parametrize(
    "subject",
    [
        "We miss you",
        "Мы скучаем, Ана, и у нас для вас подарок, который нельзя пропустить",
        "A long subject in plain ASCII that has to be folded somewhere, or else " * 10,
        "=?utf-8?q?not_a_word?=",
        "👩\u200d👩\u200d👧" * 30,
        " spaces at both ends ",
        'quotes " and \\ and , ; : <>',
    ],
)
def test_c2_subjects_survive_and_stay_within_the_line(subject: str) -> None:
    """Read back equal, and no line of the head is longer than encoded words may be."""
    mail = written(subject=subject)
    assert read(mail)["Subject"] == subject
    head = mail.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    "name", ["Ana", "Doe, Jane", 'A "B" \\C', "Ана Петрова", "x" * 256, "=?utf-8?q?x?="]
)
def test_names_survive_and_add_no_recipient(name: str) -> None:
    """A comma in a name is no second address."""
    mail = read(written(to=Mailbox("ana@example.com", name), sender=Mailbox(SHOP.address, name)))
    for header in ("To", "From"):
        (address,) = mail[header].addresses
        assert address.display_name == name
        assert address.addr_spec in {"ana@example.com", "hi@shop.example"}


def test_a_long_name_in_other_letters_survives() -> None:
    """In words of whole characters, with the address on a line of its own."""
    mail = message_from_bytes(written(to=Mailbox("ana@example.com", "株" * 200)))
    assert str(make_header(decode_header(mail["To"]))) == "株" * 200 + " <ana@example.com>"
    assert all(len(line) <= 76 for line in mail["To"].splitlines())


def test_a_nameless_mailbox_is_an_address() -> None:
    """Also one whose name is only spaces."""
    assert b"\r\nTo: ana@example.com\r\n" in written(to=Mailbox("ana@example.com", "  "))


def test_c1_c2_list_unsubscribe_is_one_line_as_it_was() -> None:
    """Exact bytes, for a token of 600 characters."""
    url = f"<https://gw.example.com/t/u/{'t' * 600}>"
    headers = {"List-Unsubscribe": url, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    mail = written(headers=headers | {"Feedback-ID": "spring:shop:win:1"})
    lines = mail.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert f"List-Unsubscribe: {url}".encode() in lines
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines
    assert b"Feedback-ID: spring:shop:win:1" in lines
    assert b"=?utf-8?" not in mail
    assert read(mail)["List-Unsubscribe"] == url


def test_c2_a_header_that_does_not_fit_is_refused() -> None:
    """998 octets are a line, 999 are not."""
    room = 998 - len("List-Unsubscribe: ")
    assert max(map(len, written(headers={"List-Unsubscribe": "x" * room}).split(b"\r\n"))) == 998
    for value in ("x" * (room + 1), "é", "", " "):
        with pytest.raises(MimeError, match="List-Unsubscribe"):
            written(headers={"List-Unsubscribe": value})


def test_c2_ids_and_date_are_the_given_ones() -> None:
    """The id is stable: the same delivery has the same name in each attempt."""
    mail = read(written())
    assert mail["Message-ID"] == "<de-1@shop.example>"
    assert mail["X-Attempt-ID"] == "at-1"
    assert mail["Date"].datetime == AT
    assert message_id("de-1", "shop.example") == "de-1@shop.example"


def test_every_line_is_seven_bit_and_ends_as_mail_does() -> None:
    """Whatever the text, the bytes are safe on the oldest relay."""
    for text in TEXTS:
        mail = written(text=text or "x", html=text or "x", subject="株" * 50)
        assert mail.isascii()
        assert mail.endswith(b"\r\n")
        assert b"\n" not in mail.replace(b"\r\n", b"")
        assert b"\r" not in mail.replace(b"\r\n", b"")


@pytest.mark.parametrize(
    "bad", ["a\r\nBcc: x@y.z", "a\nb", "a\rb", "a\x00", "a\x85b", "a\u2028b", "a\u2029b", "\ud800"]
)
def test_s1_a_value_that_could_add_a_header_is_refused(bad: str) -> None:
    """Refused, not repaired: subject, names and extra headers."""
    for changes in (
        {"subject": bad},
        {"to": Mailbox("a@b.c", bad)},
        {"sender": Mailbox("a@b.c", bad)},
        {"headers": {"List-Id": bad}},
    ):
        with pytest.raises(MimeError):
            written(**changes)


@pytest.mark.parametrize(
    "name", ["Bcc", "Subject", "List-Id\r\nBcc", "List-Id:", "", "X" * 65, "To", "Réf"]
)
def test_s1_a_header_name_that_is_not_on_the_list_is_refused(name: str) -> None:
    """Names are chosen by nobody outside."""
    with pytest.raises(MimeError, match="not allowed"):
        written(headers={name: "x"})


def test_s1_a_header_stands_once() -> None:
    """Names differ by more than their case."""
    with pytest.raises(MimeError, match="twice"):
        written(headers={"List-Id": "a", "list-id": "b"})


def test_s1_nonsense_gives_exactly_the_meant_headers_or_nothing() -> None:
    """20,000 payloads of the characters that attacks are made of."""
    chance = random.Random(7)  # noqa: S311 - the same nonsense in each run
    alphabet = '\r\n:,;<>@"\\=?_ \t\x00\x0b\x85\u2028aé' + string.ascii_letters
    taken = 0
    for _ in range(20_000):
        bad = "".join(chance.choices(alphabet, k=chance.randrange(1, 12)))
        try:
            mail = written(subject=bad, to=Mailbox("ana@example.com", bad))
        except MimeError:
            continue
        taken += 1
        head = message_from_bytes(mail, policy=policy.compat32)
        assert set(head.keys()) == MEANT
        assert len(head.keys()) == len(MEANT)
    assert taken > 1000


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ana@example.com", "ana@example.com"),
        ("a+b.c'd@sub.example.com", "a+b.c'd@sub.example.com"),
        ("ana@bücher.example", "ana@xn--bcher-kva.example"),
    ],
)
def test_s2_an_address_is_one_address(given: str, expected: str) -> None:
    """A domain in other letters travels in ASCII."""
    assert mail_address(given) == expected


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "ana",
        "@example.com",
        "ana@",
        "a@b@c.d",
        "ana@x.y>",
        "<ana@x.y",
        "a,b@x.y",
        "a b@x.y",
        "ana@x.y\r\nRCPT TO:<b@x.y>",
        "ána@x.y",
        "ana@-x.y",
        "ana@x..y",
        "a" * 65 + "@x.y",
        "a@" + "b" * 300,
        "ana@" + "ü" * 200,
    ],
)
def test_s2_what_is_no_address_is_refused(bad: str) -> None:
    """Nothing that could end the envelope's brackets, or start another recipient."""
    with pytest.raises(MimeError):
        mail_address(bad)


def test_s2_a_giant_address_is_refused_at_once() -> None:
    """1 MB in less than 50 ms."""
    for giant in ("a" * 1_000_000 + "@x.y", "a@" + "b." * 500_000, "@" * 1_000_000):
        started_s = time.perf_counter()
        with pytest.raises(MimeError):
            mail_address(giant)
        assert time.perf_counter() - started_s < 0.05


def test_a_mail_without_subject_or_body_is_refused() -> None:
    """Nothing half is sent."""
    for changes in ({"subject": ""}, {"text": "", "html": ""}):
        with pytest.raises(MimeError):
            written(**changes)
    for text in ({"text": "\ud800"}, {"html": "\ud800"}):
        with pytest.raises(MimeError, match="UTF-8"):
            written(**text)


def test_ids_with_strange_characters_are_refused() -> None:
    """They are ours; one that is not is a fault, not a header."""
    for bad in ("", "a b", "a>", "a\r\nBcc: x", "x" * 129):
        with pytest.raises(MimeError):
            message_id(bad, "shop.example")
        with pytest.raises(MimeError):
            mail_bytes(
                EmailContent("s", "h", "t"),
                sender=SHOP,
                to=ANA,
                ids=Ids("a@b", bad),
                date=datetime(2026, 1, 1, tzinfo=UTC),
            )
