"""The names of things, derived, never drawn: the same request has the same send id everywhere.

A send id is 128 bits of BLAKE2b over CloudEvents `source` and `id`, as 26 base32 letters.
A delivery id is `<send id>-<position>`, an attempt id `<delivery id>-<claim number>`.
None of them holds personal data.
"""

from __future__ import annotations

from base64 import b32decode
from hashlib import blake2b

SEND_ID_BYTES = 16
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = tuple(first + second for first in _BASE32 for second in _BASE32)


def send_id(source: str, request_id: str) -> str:
    """The send id of a request's identity."""
    digest = blake2b(
        f"{len(source)}:{source}{request_id}".encode(), digest_size=SEND_ID_BYTES, person=b"send"
    ).digest()
    return _letters(digest)


def _letters(digest: bytes) -> str:
    """128 bits as 26 base32 letters, two at a time: several times faster than `b32encode`."""
    number = int.from_bytes(digest, "big") << 2
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])


def delivery_id(of_send: str, position: int) -> str:
    """The id of the delivery at `position` in the send's route."""
    return f"{of_send}-{position}"


def attempt_id(of_delivery: str, claim_no: int) -> str:
    """The id of the attempt made under claim `claim_no`."""
    return f"{of_delivery}-{claim_no}"


def split_delivery(of_delivery: str) -> tuple[str, int]:
    """Send id and position of a delivery id; ValueError where it is none."""
    of_send, _, position = of_delivery.partition("-")
    if len(of_send) != 26 or not position.isdecimal() or len(position) > 3:  # noqa: PLR2004
        raise ValueError("not a delivery id")
    return of_send, int(position)


def pack_delivery(of_delivery: str) -> bytes:
    """A delivery id as 17 bytes, for tokens."""
    of_send, position = split_delivery(of_delivery)
    return b32decode(f"{of_send.upper()}======") + bytes([position])


def unpack_delivery(packed: bytes) -> str:
    """The delivery id of 17 bytes."""
    of_send = _letters(packed[:SEND_ID_BYTES])
    return delivery_id(of_send, packed[SEND_ID_BYTES])


def fact_id(*parts: str) -> str:
    """The id of an output event, from what makes the fact unique; 32 hexadecimal digits."""
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return blake2b(joined.encode(), digest_size=16, person=b"fact").hexdigest()


def subject_key(secret: bytes, kind: str, value: str) -> bytes:
    """The keyed hash under which consent and suppressions of a person or address are kept.

    `kind` is `person`, `email`, `sms` or `push`; `value` an id or a normalised address.
    """
    return blake2b(f"{kind}:{value}".encode(), digest_size=16, key=secret).digest()
