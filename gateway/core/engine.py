"""The template engine, bounded: what a compiled text may do, and how its faults are told.

Invariant: rendering ends, soon, with a text or with `Unrenderable`; nothing that is none, a list
or an object is ever printed. The only user of minijinja (decision 0003).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Protocol

import minijinja

from gateway.core import locales
from gateway.core.variables import is_money

FUEL = 100_000  # a full mail takes under a thousand
_GONE_FILTERS = ("safe", "tojson", "pprint", "attr", "indent")
_GONE_GLOBALS = ("debug", "cycler", "joiner")
_UNDEFINED = re.compile(r"`([^`]+)` is undefined")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\['[^'\]]+'\]|\[\d+\])*")
_KEY = re.compile(r"\['([^'\]]+)'\]")


class Unrenderable(Exception):  # noqa: N818 - a state of the facts, not a fault of ours
    """A text cannot be made from these facts.

    `missing` is the dotted name of what is none or unknown (`recipient.name`), where known;
    `is_absent` says that this is the reason. `link` is a refused address, `too_large` says that the
    text is, or the work it asks for; `is_by_author` that no facts at all could help. `line` is that
    of the compiled text, 0 where unknown.
    """

    def __init__(
        self,
        what: str,
        *,
        missing: str = "",
        is_absent: bool = False,
        link: str = "",
        too_large: bool = False,
        is_by_author: bool = False,
        line: int = 0,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.missing = missing
        self.is_absent = is_absent
        self.link = link
        self.too_large = too_large
        self.is_by_author = is_by_author
        self.line = line


class Ghost:
    """Stands for one none when a fault is looked for: it knows which it is."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __bool__(self) -> bool:
        return False

    def __iter__(self) -> Iterator[object]:
        raise self.fault()

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self.fault()

    def fault(self) -> Unrenderable:
        """What is said when this none would be printed."""
        return Unrenderable(
            "is none, and the template needs it", missing=self._name, is_absent=True
        )


def ghosts(name: str, value: Any) -> Any:
    """`value` with every none inside replaced by one that knows its dotted name."""
    match value:
        case None:
            return Ghost(name)
        case Mapping():
            return {key: ghosts(f"{name}.{key}", inner) for key, inner in value.items()}
        case list() | tuple():
            return [ghosts(name, inner) for inner in value]
        case _:
            return value


class _State(Protocol):
    def lookup(self, name: str) -> Any: ...


class Engine:
    """All compiled texts of one template. Names that end in `.html` are escaped."""

    __slots__ = ("_environment",)

    def __init__(self) -> None:
        self._environment = _environment()

    def add(self, name: str, source: str) -> None:
        """Compile one text. Raises `Unrenderable` with the line of the fault."""
        try:
            self._environment.add_template(name, source)
        except minijinja.TemplateError as error:
            raise _translated(error) from error

    def names_in(self, source: str) -> set[str]:
        """Dotted names that a text takes from outside, such as `variables.code`."""
        return self._environment.undeclared_variables_in_str(source, nested=True)

    def render(self, name: str, context: Mapping[str, Any]) -> str:
        """The text. Raises `Unrenderable`; what a function of the context raises comes through."""
        try:
            return self._environment.render_template(name, **context)
        except minijinja.TemplateError as error:
            raise _translated(error) from error
        except (UnicodeError, OverflowError, RecursionError) as error:
            raise Unrenderable("holds a value that cannot be written") from error


def in_html(address: str) -> Any:
    """An address for a quoted attribute, marked as escaped: the engine would escape `/` too."""
    return minijinja.safe(escape(address, quote=True))


def _environment() -> minijinja.Environment:
    environment = minijinja.Environment(
        undefined_behavior="strict",
        fuel=FUEL,
        finalizer=printable,
        auto_escape_callback=lambda name: name.endswith(".html"),
        keep_trailing_newline=True,
        filters=_filters(),
        tests={"none": _is_none},
    )
    for name in _GONE_FILTERS:
        environment.remove_filter(name)
    for name in _GONE_GLOBALS:
        environment.remove_global(name)
    return environment


def _filters() -> Mapping[str, Callable[..., Any]]:
    return {
        "_shown": _there,
        "join": _joined,
        "money": minijinja.pass_state(_money),
        "date": minijinja.pass_state(_date),
        "percent": minijinja.pass_state(_percent),
    }


def _is_none(value: Any) -> bool:
    return value is None or isinstance(value, Ghost)


def _there(value: Any) -> Any:
    if value is None:
        raise Unrenderable("would print none", is_absent=True)
    if isinstance(value, Ghost):
        raise value.fault()
    return value


def printable(value: Any) -> Any:
    """`value`, or `Unrenderable` for what no text may hold."""
    if type(value) is str:  # nearly all are, and this runs for everything that is printed
        return value
    if isinstance(value, dict | list | tuple):
        raise Unrenderable("would print a list or an object")
    return _there(value)


def _joined(values: Sequence[Any], between: str = "", attribute: str | None = None) -> str:
    items = [item[attribute] if attribute else item for item in values]
    return between.join(str(printable(item)) for item in items)


def _money(state: _State, value: Any) -> str:
    if not is_money(_there(value)):
        raise Unrenderable("is no money: an amount and a currency")
    return _formatted(locales.money, value["amount"], value["currency"], state=state)


def _date(state: _State, value: Any, style: str = "long") -> str:
    return _formatted(locales.day, str(_there(value)), style, state=state)


def _percent(state: _State, value: Any) -> str:
    return _formatted(locales.percent, str(_there(value)), state=state)


def _formatted(how: Callable[..., str], *values: str, state: _State) -> str:
    try:
        return how(*values, locale=state.lookup("_locale"))
    except ValueError as error:
        raise Unrenderable(f"cannot be written as {how.__name__}") from error


def _translated(error: minijinja.TemplateError) -> Unrenderable:
    detail = str(error.detail or "")
    undefined = _UNDEFINED.search(detail)
    name = undefined.group(1) if undefined else ""
    missing = _KEY.sub(r".\1", name) if _DOTTED.fullmatch(name) else ""
    what = f"{name} is not defined" if name else _words(error)
    return Unrenderable(
        what,
        missing=missing,
        is_absent=error.kind == "UndefinedError",
        too_large=error.kind == "OutOfFuel",
        is_by_author=error.kind in _AUTHORS_KINDS,
        line=error.line or 0,
    )


def _words(error: minijinja.TemplateError) -> str:
    """What is wrong, without values: a syntax error's detail holds none, others may."""
    if error.kind in _AUTHORS_KINDS:
        return str(error.detail or error.kind)
    return _KINDS.get(error.kind, f"cannot be rendered ({error.kind})")


_AUTHORS_KINDS = frozenset(
    {
        "SyntaxError",
        "UnknownFilter",
        "UnknownTest",
        "UnknownFunction",
        "UnknownMethod",
        "MissingArgument",
        "TooManyArguments",
        "TemplateNotFound",
    }
)
_KINDS = {
    "OutOfFuel": "does too much work",
    "InvalidOperation": "does something that its values do not allow",
    "BadSerialization": "holds a value that cannot be written",
}
