"""A transport that answers from a list and keeps what it was asked to send."""

from __future__ import annotations

from collections.abc import Iterable

from channels.http import Answer, NeverLeft, Request, Result


class RecordingTransport:
    """Gives one result after another; obeys `may_start` as the contract says."""

    def __init__(self, *results: Result) -> None:
        self._results: Iterable[Result] = iter(results)
        self.requests: list[Request] = []

    async def request(self, request: Request) -> Result:
        if not request.may_start():
            return NeverLeft("withheld", withheld=True)
        self.requests.append(request)
        return next(self._results, Answer(500, {}, b""))

    async def aclose(self) -> None:
        """Nothing is open."""
