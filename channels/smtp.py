"""E-mail by SMTP through one relay, over a few kept connections. The only user of aiosmtplib.

Invariant: one `send` is at most one mail transaction, and all of it, the wait for a connection
included, ends within `timeout_s`. aiosmtplib opens a connection (greeting, EHLO, TLS, login) and
hands it over to `smtp_session.py`, which pipelines and knows to the byte what was written.
A password never travels unencrypted, but to this machine. This file knows nothing of the gateway.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import cast

import aiosmtplib

from channels.answers import Now, control_fault, scrubbed
from channels.contract import (
    Deferred,
    EmailContent,
    Kind,
    Message,
    Misconfigured,
    Outcome,
    Refused,
)
from channels.http import Transport
from channels.mime import (
    Ids,
    Mailbox,
    MimeError,
    mail_address,
    mail_bytes,
    mail_domain,
    message_id,
)
from channels.smtp_answers import Reply, Stage, outcome_of
from channels.smtp_session import Letter, Session

PROVIDER = "smtp"
IDLE_S_MAX = 30.0
TRANSACTIONS_MAX = 100  # several relays close a connection after about as many mails
GOODBYE_S = 1.0


@dataclass(frozen=True, slots=True)
class SmtpOptions:
    """A relay: `tls` is TLS from the first byte, else STARTTLS where the relay offers it.

    `message_domain` stands in EHLO and Message-IDs; empty is the domain of `from_address`.
    `tls_context` is for a relay that the system's certificates do not vouch for.
    """

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    tls: bool
    from_address: str
    from_name: str = ""
    message_domain: str = ""
    connections_max: int = 16
    timeout_s: float = 15.0
    tls_context: ssl.SSLContext | None = field(default=None, repr=False)


class SmtpChannel:
    """E-mail through a relay; raises ValueError for options that will not do."""

    name = PROVIDER
    kind = Kind.EMAIL

    def __init__(
        self,
        options: SmtpOptions,
        transport: Transport | None = None,  # noqa: ARG002 - every factory is called alike
        *,
        now: Now,
    ) -> None:
        fault = control_fault("the sender's name", options.from_name)
        if fault or options.connections_max < 1:
            raise ValueError(fault or "connections_max must be 1 or more")
        options.host.encode("idna")
        self._timeout_s = options.timeout_s
        self._sender = Mailbox(mail_address(options.from_address), options.from_name)
        domain = options.message_domain or self._sender.address.rpartition("@")[2]
        self._domain = mail_domain(domain)
        self._now = now
        self._pool = _Pool(options, self._domain)

    async def send(self, message: Message) -> Outcome:
        if not isinstance(message.content, EmailContent) or not isinstance(message.to, str):
            raise TypeError("SMTP sends e-mail to an address")
        try:
            letter = self._letter(message, message.to, message.content)
        except MimeError as fault:
            return Refused(str(fault))
        deadline_s = asyncio.get_running_loop().time() + self._timeout_s
        session = await self._pool.take(deadline_s)
        if not isinstance(session, Session):
            return session
        try:
            return await session.transact(
                letter, may_start=message.may_start, deadline_s=deadline_s
            )
        finally:
            self._pool.give_back(session)

    async def aclose(self) -> None:
        """Say goodbye on every kept connection, for a second at most."""
        await self._pool.aclose()

    def _letter(self, message: Message, to: str, content: EmailContent) -> Letter:
        address = mail_address(to)
        # The delivery names the mail, so a receiver can drop a second copy of one in doubt.
        ids = Ids(message_id(message.delivery_id, self._domain), message.attempt_id)
        receiver = Mailbox(address, message.to_name)
        octets = mail_bytes(content, sender=self._sender, to=receiver, ids=ids, date=self._now())
        return Letter(self._sender.address, address, octets, ids.message)


class _Pool:
    """At most `connections_max` connections; the one used last is used next."""

    def __init__(self, options: SmtpOptions, domain: str) -> None:
        self._options = options
        self._domain = domain
        self._free = asyncio.Semaphore(options.connections_max)
        self._kept: deque[Session] = deque()
        self._is_closed = False

    async def take(self, deadline_s: float) -> Session | Outcome:
        """A connection that is ready, or the outcome of not getting one."""
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._free.acquire()
        except TimeoutError:
            return Deferred("every connection to the relay is busy")
        session: Session | Outcome | None = None
        try:
            session = self._ready() or await opened(self._options, self._domain, deadline_s)
            return session
        finally:
            if not isinstance(session, Session):
                self._free.release()

    def give_back(self, session: Session) -> None:
        """Keep the connection for the next mail, if it is in order."""
        self._free.release()
        session.idle_since_s = _time_s()
        if not self._is_closed and session.is_ready and session.transactions < TRANSACTIONS_MAX:
            self._kept.append(session)
        else:
            session.dismiss()

    async def aclose(self) -> None:
        self._is_closed = True
        leaving = tuple(self._kept)
        self._kept.clear()
        for session in leaving:
            session.dismiss()
        await asyncio.gather(*(session.closed(GOODBYE_S) for session in leaving))

    def _ready(self) -> Session | None:
        oldest_s = _time_s() - IDLE_S_MAX
        while self._kept and (not self._kept[0].is_ready or self._kept[0].idle_since_s < oldest_s):
            self._kept.popleft().dismiss()
        while self._kept:
            session = self._kept.pop()
            if session.is_ready:
                return session
            session.dismiss()
        return None


def _time_s() -> float:
    return asyncio.get_running_loop().time()


# --- opening a connection -------------------------------------------------------------------


async def opened(options: SmtpOptions, domain: str, deadline_s: float) -> Session | Outcome:
    """A connection that is ready for mail, or the outcome of not getting one."""
    client = aiosmtplib.SMTP(
        hostname=options.host,
        port=options.port,
        local_hostname=domain,
        timeout=None,  # the deadline below is the only one
        use_tls=options.tls,
        tls_context=options.tls_context,
    )
    try:
        async with asyncio.timeout_at(deadline_s):
            await client.connect()
            await _introduce(client)
            if options.username:
                await _log_in(client, options)
        return _handed_over(client)
    except (aiosmtplib.SMTPException, OSError) as fault:
        client.close()
        return outcome_of_fault(fault)
    except asyncio.CancelledError:
        client.close()
        raise


def outcome_of_fault(fault: aiosmtplib.SMTPException | OSError) -> Outcome:
    """The outcome of a connection that could not be opened: nothing of a mail was written."""
    match fault:
        case aiosmtplib.SMTPAuthenticationError():
            return outcome_of(Stage.LOGIN, Reply(fault.code, fault.message))
        case aiosmtplib.SMTPResponseException():
            return outcome_of(Stage.CONNECT, Reply(fault.code, fault.message))
        case OSError():  # also what aiosmtplib raises for connections lost and timeouts
            return Deferred(scrubbed(f"connect: {type(fault).__name__} {fault}"))
        case _:
            return Misconfigured(scrubbed(f"login: {fault}"))


async def _introduce(client: aiosmtplib.SMTP) -> None:
    # After STARTTLS what the relay said before does not count any more.
    if not client.is_ehlo_or_helo_needed:
        return
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()


async def _log_in(client: aiosmtplib.SMTP, options: SmtpOptions) -> None:
    if client.get_transport_info("sslcontext") is None and not _is_here(options.host):
        raise aiosmtplib.SMTPException("the relay offers no TLS, and a password needs it")
    await client.login(options.username, options.password)


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _handed_over(client: aiosmtplib.SMTP) -> Session:
    transport = client.transport
    if transport is None or transport.is_closing():
        raise aiosmtplib.SMTPServerDisconnected("connection lost")
    session = Session(frozenset(client.esmtp_extensions))
    cast("asyncio.Transport", transport).set_protocol(session)
    session.connection_made(transport)
    return session
