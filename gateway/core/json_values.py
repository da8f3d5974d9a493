"""JSON as untrusted text: is it JSON at all, how deep is it, and where is a value we cannot keep.

Invariant: no input makes anything here recurse, and every answer takes time linear in the input
(times the depth limit). Knows JSON and its paths, and nothing of events.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from gateway.errors import RefusedError

DEPTH_MAX: Final = 32
INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**64 - 1
PATH_MAX: Final = 512
STEP_MAX: Final = 64
DIGITS_MAX: Final = 64

_EVERY_BYTE: Final = bytes(range(256))
_NOT_STRUCTURE: Final = bytes(byte for byte in _EVERY_BYTE if byte not in b'[]{}"')
_ROUND_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def step(path: str, name: str | int) -> str:
    """The path one step further down: `.name`, `["odd name"]` or `[3]`; bounded in length."""
    if len(path) >= PATH_MAX:
        return path
    if isinstance(name, int):
        return f"{path}[{name}]"
    short = name[:STEP_MAX]
    if _PLAIN_NAME.fullmatch(short):
        return f"{path}.{short}"
    return f"{path}[{json.dumps(short)}]"


# --- how deep -------------------------------------------------------------------------------


def is_shallow(value: bytes, limit: int = DEPTH_MAX) -> bool:
    """Whether valid JSON nests at most `limit` containers; of other bytes, whether it seems so.

    Most events have so few brackets that counting them is the whole answer. Otherwise what is
    not a bracket is struck out, and each round of striking out `[]` takes one level away.
    """
    if value.count(b"[") + value.count(b"{") <= limit:
        return True
    brackets = _brackets(value)
    for _ in range(limit):
        if not brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return not brackets


def _brackets(value: bytes) -> bytes:
    """The brackets outside strings, round ones made square."""
    if b"\\" in value:
        # Pairs of backslashes go first, so that what is left before a quote does escape it.
        value = value.replace(b"\\\\", b"").replace(b'\\"', b"")
    structure = value.translate(_ROUND_TO_SQUARE, _NOT_STRUCTURE)
    return b"".join(structure.split(b'"')[::2])


# --- is it JSON, and what does it say -------------------------------------------------------


def read(value: bytes, *, root: str = "$", depth: int = DEPTH_MAX) -> Any:
    """The values of strict JSON, at most `depth` deep; of duplicate names the last counts.

    Numbers that no double can hold come back infinite. `root` is the path of the value itself.
    Raises RefusedError: `not_json`, or `invalid_field` where the nesting goes too deep.
    """
    try:
        text = value.decode()
        if not is_shallow(value, depth):
            _refuse_deep(text, value, root=root, depth=depth)
        found = json.loads(text, parse_constant=_refuse_constant, parse_int=_integer)
        if _SURROGATE.search(text):
            json.dumps(found, ensure_ascii=False).encode()
    except (UnicodeError, ValueError, RecursionError) as error:
        raise RefusedError("not_json", root, _why(error)) from error
    return found


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "half of a surrogate pair in a string"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return str(error)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> int | float:
    # Python refuses to read very long integers; no field of ours has more digits than this.
    if len(digits) <= DIGITS_MAX:
        return int(digits)
    return -math.inf if digits.startswith("-") else math.inf


# --- values that we cannot keep -------------------------------------------------------------


def first_unfit(value: Any, path: str) -> tuple[str, str] | None:
    """Path and fault of the first number or text that cannot be kept, in document order.

    Numbers must be finite and integers fit 64 bits; text must not hold U+0000, which no
    PostgreSQL column takes.
    """
    if _is_fit(value):
        return None
    faults = ((where, _unfitness(found)) for where, found in _leaves(value, path))
    return next((fault for fault in faults if fault[1]), None)


def _unfitness(value: Any) -> str:
    if isinstance(value, str):
        return "text with a null character" if "\0" in value else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else "number out of range"
    if isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
        return "integer out of range (64 bits)"
    return ""


def _is_fit(value: Any) -> bool:
    """The same without paths: nearly every value is fit, and paths are dear."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting.extend(found)
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
        elif _unfitness(found):
            return False
    return True


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every scalar with its path, names of objects among them, in document order."""
    waiting = [(path, value)]
    while waiting:
        where, found = waiting.pop()
        if isinstance(found, dict):
            inner = [(step(where, name), part) for name, part in found.items()]
            yield from ((where, name) for name in found)
        elif isinstance(found, list):
            inner = [(step(where, index), part) for index, part in enumerate(found)]
        else:
            yield where, found
            continue
        waiting.extend(reversed(inner))


# --- deeper than the limit ------------------------------------------------------------------

_TOKEN: Final = re.compile(
    r"[ \t\n\r]*+(?:"
    r'(?P<string>"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+")'
    r"|(?P<scalar>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null)"
    r"|(?P<mark>[\[\]{},:]))"
)

# What may come next, by what was expected: the grammar of JSON without its nesting.
_NEXT: Final = {
    ("value", "scalar"): "after",
    ("value", "string"): "after",
    ("value", "["): "first",
    ("value", "{"): "first name",
    ("first", "scalar"): "after",
    ("first", "string"): "after",
    ("first", "["): "first",
    ("first", "{"): "first name",
    ("first", "]"): "after",
    ("first name", "string"): "colon",
    ("first name", "}"): "after",
    ("name", "string"): "colon",
    ("colon", ":"): "value",
    ("after", ","): "more",
    ("after", "]"): "after",
    ("after", "}"): "after",
}
_OPENS: Final = {"]": "[", "}": "{"}


def _refuse_deep(text: str, value: bytes, *, root: str, depth: int) -> NoReturn:
    """Refuse a text that is too deep, or only looks so because it is not JSON.

    What comes after the first container below the limit is not looked at, except that brackets
    balance: to read a megabyte of them token by token would hold everybody up.
    """
    brackets = _brackets(value)
    balanced = brackets.count(b"[") * 2 == len(brackets)
    where = _first_too_deep(text, root, depth) if balanced else None
    if where is None:
        raise ValueError("brackets that do not match, or something else between them")
    raise RefusedError("invalid_field", where, f"nested deeper than {DEPTH_MAX}")


def _first_too_deep(text: str, root: str, depth: int) -> str | None:
    """The path of the first container below `depth`; None where no JSON leads there."""
    opened: list[str] = []
    steps: list[str | int] = []
    expected = "value"
    for kind, token in _tokens(text):
        following = _NEXT.get((expected, kind))
        if following is None or (kind in _OPENS and opened[-1:] != [_OPENS[kind]]):
            return None
        if kind in _OPENS.values():
            if len(opened) == depth:
                return _joined(root, steps)
            opened.append(kind)
            steps.append(0 if kind == "[" else "")
        elif kind in _OPENS:
            opened.pop()
            steps.pop()
        elif following == "colon":
            steps[-1] = json.loads(token)
        elif following == "more":
            if not opened:
                return None
            steps[-1] = _following(steps[-1])
            following = "value" if opened[-1] == "[" else "name"
        expected = following
    return None


def _following(place: str | int) -> str | int:
    return place + 1 if isinstance(place, int) else place


def _joined(root: str, steps: list[str | int]) -> str:
    path = root
    for name in steps:
        path = step(path, name)
    return path


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """The tokens of JSON text with their kind; a last one of kind `?` where it is not JSON."""
    at, end = 0, len(text.rstrip(" \t\n\r"))
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            yield "?", ""
            return
        kind, token = str(found.lastgroup), found[str(found.lastgroup)]
        yield (token if kind == "mark" else kind), token
        at = found.end()
