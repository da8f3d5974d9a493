"""A bearer token for Google APIs from a service account.

Invariant: at most one exchange is under way; a token is handed out only while it is good for some
minutes more; a fault of the exchange is an outcome of the message that needed the token, and
since nothing of that message was sent, never a doubt. This file knows no Google API by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlencode

import jwt

from channels.answers import Now, json_object, retry_after_s, text_at
from channels.contract import Deferred, Misconfigured
from channels.http import Answer, Request, Transport

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME = timedelta(hours=1)
EARLY = timedelta(minutes=5)
FAULT_KEPT = timedelta(seconds=5)  # so that a thousand waiting messages do not ask one by one
REQUIRED = ("client_email", "private_key", "token_uri")


class GoogleTokens:
    """Tokens for one service account and one scope.

    `credentials` is the loaded key file; its `token_uri` is obeyed. Raises ValueError for a file
    that lacks something or whose key cannot sign.
    """

    def __init__(
        self,
        credentials: Mapping[str, object],
        transport: Transport,
        *,
        scope: str,
        now: Now,
        timeout_s: float,
    ) -> None:
        missing = [name for name in REQUIRED if not text_at(dict(credentials), name)]
        if missing:
            raise ValueError(f"the service account file lacks {missing[0]}")
        self._credentials = {name: str(value) for name, value in credentials.items()}
        self._transport = transport
        self._scope = scope
        self._now = now
        self._timeout_s = timeout_s
        self._lock = asyncio.Lock()
        self._token = ""
        self._good_until: datetime | None = None
        self._fault: Deferred | Misconfigured | None = None
        self._fault_until: datetime | None = None
        self._assertion()

    async def current(self) -> str | Deferred | Misconfigured:
        """A token, or why there is none."""
        if self._is_good():
            return self._token
        async with self._lock:
            if self._is_good():
                return self._token
            if self._fault_until is None or self._now() >= self._fault_until:
                await self._exchange()
            return self._fault or self._token

    def forget(self, token: str) -> None:
        """Google refused this token: get another one next time."""
        if token == self._token:
            self._good_until = None

    def _is_good(self) -> bool:
        return self._good_until is not None and self._now() < self._good_until

    async def _exchange(self) -> None:
        self._fault, self._fault_until = None, None
        fields = {"grant_type": GRANT, "assertion": self._assertion()}
        result = await self._transport.request(
            Request(
                "POST",
                self._credentials["token_uri"],
                {"content-type": "application/x-www-form-urlencoded"},
                urlencode(fields).encode(),
                lambda: True,
                timeout_s=self._timeout_s,
            )
        )
        if not isinstance(result, Answer):
            self._fail(Deferred(f"token exchange: {result.reason}"))
            return
        body = json_object(result.body)
        token, lasts_s = text_at(body, "access_token"), body.get("expires_in")
        if result.status == HTTPStatus.OK and token and isinstance(lasts_s, int) and lasts_s > 0:
            lasts = min(timedelta(seconds=min(lasts_s, 86_400)), LIFETIME)
            self._token, self._good_until = token, self._now() + lasts - min(EARLY, lasts / 2)
            return
        self._fail(self._refusal(result, text_at(body, "error")))

    def _refusal(self, answer: Answer, error: str) -> Deferred | Misconfigured:
        reason = f"token exchange: {answer.status} {error[:64]}".strip()
        retriable = answer.status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
        is_ours = 300 <= answer.status < 500 and not retriable  # noqa: PLR2004
        if is_ours:
            return Misconfigured(reason)
        return Deferred(reason, retry_after_s(answer, self._now))

    def _fail(self, fault: Deferred | Misconfigured) -> None:
        self._fault, self._fault_until = fault, self._now() + FAULT_KEPT

    def _assertion(self) -> str:
        issued_at = self._now()
        claims = {
            "iss": self._credentials["client_email"],
            "scope": self._scope,
            "aud": self._credentials["token_uri"],
            "iat": issued_at,
            "exp": issued_at + LIFETIME,
        }
        headers = {"kid": self._credentials.get("private_key_id", "")}
        try:
            return jwt.encode(
                claims, self._credentials["private_key"], algorithm="RS256", headers=headers
            )
        except (jwt.PyJWTError, ValueError, TypeError) as fault:
            raise ValueError("the service account's private key cannot sign") from fault
