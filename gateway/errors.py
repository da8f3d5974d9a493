"""What goes wrong on our side, as one tree. What a provider does is never here: it is an outcome.

    GatewayError
    ├─ SettingsError         a setting is missing or wrong: exit 2, one line that names the variable
    ├─ TemplateError         a template cannot be compiled: exit 2, file and line
    ├─ RefusedError          an event that we cannot take; `reason` is the dead letter's reason
    ├─ EventsRefused         events that came by HTTP and cannot be taken: 422, each first fault
    ├─ EventsConflict        an identity that came before with other data: 409
    ├─ TokenError            a link that we did not sign: 404, no detail
    ├─ StoreError
    │  ├─ StoreUnavailable   locked, full, read-only: try again
    │  ├─ StoreBehind        migrations are missing: run `winback migrate`
    │  └─ StoreInUse         another process owns this SQLite store
    └─ BusUnavailable        no broker answers: try again

Library errors are translated in the file that owns the library, always with `from`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class GatewayError(Exception):
    """Something went wrong inside the gateway."""

    retriable: ClassVar[bool] = False


class SettingsError(GatewayError):
    """A setting is missing or wrong; the text starts with the variable's name."""


class TemplateError(GatewayError):
    """A template cannot be used; the text starts with `file:line`."""


class RefusedError(GatewayError):
    """An event that we cannot take.

    `reason` is one of the contract's `dlq-reason`; `path` a JSON path; `what` says what is wrong.
    """

    def __init__(self, reason: str, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.reason = reason
        self.path = path
        self.what = what


Fault = tuple[str, str]
"""A JSON path and what is wrong there."""


class EventsRefused(GatewayError):  # noqa: N818 - an answer, not a fault of ours
    """Events that cannot be taken; with `malformed` the body is not even JSON."""

    def __init__(self, faults: Sequence[Fault], *, malformed: bool = False) -> None:
        super().__init__("events refused")
        self.faults = tuple(faults)
        self.malformed = malformed


class EventsConflict(GatewayError):  # noqa: N818 - an answer, not a fault of ours
    """Identities that came before with other data."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("identity conflict")
        self.faults = tuple(faults)


class TokenError(GatewayError):
    """A token that this gateway did not sign, or not for this purpose."""


class StoreError(GatewayError):
    """The store could not do its work."""


class StoreUnavailable(StoreError):  # noqa: N818 - a state of the world, not a fault of ours
    """The store does not answer now: locked, full, read-only, restarting."""

    retriable = True


class StoreBehind(StoreError):  # noqa: N818 - a state of the world
    """The store's schema is older than this program: run `winback migrate`."""


class StoreInUse(StoreError):  # noqa: N818 - a state of the world
    """Another gateway process owns this SQLite store."""


class BusUnavailable(GatewayError):  # noqa: N818 - a state of the world
    """No broker answers."""

    retriable = True
