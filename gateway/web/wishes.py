"""What a POST to the preference page asks for.

Invariant: whatever is not plainly a form of ours is a no to promotional e-mail; a mail client's
one-click (RFC 8058) may come as urlencoded, as multipart, with more fields, or empty.
Pure: this file knows no port and no page.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs

from gateway.web.ports import Stop

CHANNELS = ("email", "sms", "push")
CAMPAIGN = "campaign"
FORM_TYPE = "application/x-www-form-urlencoded"
FIELDS_MAX = 100


@dataclass(frozen=True, slots=True)
class Wish:
    """Channels to stop and channels to allow again, and how the person said so.

    `campaign` is a word about the campaign of the message alone: False a no, True a yes.
    """

    how: Stop
    stop: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    campaign: bool | None = None

    @property
    def says_something(self) -> bool:
        """Whether there is anything to keep."""
        return bool(self.stop or self.allow) or self.campaign is not None


ONE_CLICK = Wish(how="one_click", stop=("email",))


def read_wish(body: bytes, *, content_type: str) -> Wish:
    """The wish in a body; never fails, for a no must not be lost to a parser."""
    fields = _fields(body) if content_type == FORM_TYPE else {}
    if "List-Unsubscribe" in fields or fields.get("page") != ["preferences"]:
        return ONE_CLICK
    if "save" in fields:
        return _choice(**{name: set(fields.get(name, ())) for name in ("keep", "off", "seen")})
    known = (*CHANNELS, "all")
    return Wish(
        how="preferences",
        stop=tuple(channel for channel in known if channel in fields.get("stop", ())),
        allow=tuple(channel for channel in known if channel in fields.get("allow", ())),
    )


def _choice(*, keep: set[str], off: set[str], seen: set[str]) -> Wish:
    # Only what the person changed: a box that was off and stays off is no new no, and a box
    # that was on and stays on is no yes (they may have said no elsewhere in the meantime).
    return Wish(
        how="preferences",
        stop=tuple(channel for channel in CHANNELS if channel not in keep | off),
        allow=tuple(channel for channel in CHANNELS if channel in keep & off),
        campaign=_changed(CAMPAIGN, keep=keep, off=off) if CAMPAIGN in seen else None,
    )


def _changed(box: str, *, keep: set[str], off: set[str]) -> bool | None:
    return None if (box in keep) != (box in off) else box in keep


def _fields(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:  # too many fields, or not UTF-8
        return {}
