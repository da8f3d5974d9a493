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
_EXPRESSIONS = re.compile(r"\{[{%#]")


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
    """All compiled texts of one template. Names that end in `.html` are escaped.

    `fixed` holds those that say the same to everyone, by name.
    """

    __slots__ = ("_environment", "fixed")

    def __init__(self) -> None:
        self._environment = _environment()
        self.fixed: dict[str, str] = {}

    def add(self, name: str, source: str) -> None:
        """Compile one text. Raises `Unrenderable` with the line of the fault."""
        try:
            self._environment.add_template(name, source)
        except minijinja.TemplateError as error:
            raise _translated(error) from error
        self.fixed.pop(name, None)
        if not _EXPRESSIONS.search(source):
            self.fixed[name] = self.render(name, {})

    def escaped(self, value: str) -> str:
        """`value` as an expression would write it into a text whose name ends in `.html`."""
        return self._environment.render_str("{{ value }}", "escaped.html", value=value)

    def names_in(self, source: str) -> set[str]:
        """Dotted names that a text takes from outside, such as `variables.code`."""
        return self._environment.undeclared_variables_in_str(source, nested=True)

    def render(self, name: str, context: Mapping[str, Any]) -> str:
        """The text. Raises `Unrenderable`; what a function of the context raises comes through."""
        fixed = self.fixed.get(name)
        if fixed is not None:
            return fixed
        try:
            return self._environment.render_template(name, **context)
        except minijinja.TemplateError as error:
            raise _translated(error) from error
        except (UnicodeError, OverflowError, RecursionError) as error:
            raise Unrenderable("holds a value that cannot be written") from error


def in_html(address: str) -> Any:
    """An address for a quoted attribute, marked as escaped: the engine would escape `/` too."""
    return marked(escape(address, quote=True))


def marked(escaped: str) -> Any:
    """A text that the engine shall not escape again."""
    return minijinja.safe(escaped)


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
    if isinstance(value, Unrenderable):
        raise value
    return value


def printable(value: Any) -> Any:
    """`value`, or `Unrenderable` for what no text may hold."""
    if type(value) is str:  # nearly all are, and this runs for everything that is printed
        return value
    if isinstance(value, (dict, list, tuple)):
        raise Unrenderable("would print a list or an object")
    return _there(value)


def _joined(values: Sequence[Any], between: str = "", attribute: str | None = None) -> str:
    items = [item[attribute] if attribute else item for item in values]
    return between.join(str(printable(item)) for item in items)


def _money(state: _State, value: Any) -> str:
    return _as_money(_there(value), state.lookup("_locale"))


def _date(state: _State, value: Any, style: str = "long") -> str:
    return _as_date(_there(value), state.lookup("_locale"), style)


def _percent(state: _State, value: Any) -> str:
    return _as_percent(_there(value), state.lookup("_locale"))


def _as_money(value: Any, locale: str) -> str:
    if not is_money(value):
        raise Unrenderable("is no money: an amount and a currency")
    try:
        return locales.money(value["amount"], value["currency"], locale=locale)
    except ValueError as error:
        raise Unrenderable("cannot be written as money") from error


def _as_date(value: Any, locale: str, style: str = "long") -> str:
    try:
        return locales.day(str(value), style, locale=locale)
    except ValueError as error:
        raise Unrenderable("cannot be written as day") from error


def _as_percent(value: Any, locale: str) -> str:
    try:
        return locales.percent(str(value), locale=locale)
    except ValueError as error:
        raise Unrenderable("cannot be written as percent") from error


class Written:
    """A value that the texts of a part print, as it is or through a filter.

    `own` is its name once written: being called back by the engine costs more than writing it, and
    a part prints it several times.
    """

    __slots__ = ("_absent", "_how", "_key", "_nothing", "_root", "own")

    def __init__(self, name: str, how: str, own: str) -> None:
        self.own = own
        self._root, _, self._key = name.partition(".")
        self._how: Callable[[Any, str], str] | None = _WAYS.get(how)
        self._absent, self._nothing = Ghost(name), Ghost(self._root)

    def of(self, roots: Mapping[str, Any]) -> Any:
        """What `own` stands for: the value, or what says why there is none once it is printed."""
        holder = roots[self._root]
        if not isinstance(holder, dict):
            return self._nothing
        value = holder.get(self._key)
        if value is None:
            return self._absent
        if self._how is None:
            return value
        try:
            return self._how(_there(value), roots["_locale"])
        except Unrenderable as error:
            return error


_WAYS: Mapping[str, Callable[[Any, str], str]] = {
    "money": _as_money,
    "date": _as_date,
    "percent": _as_percent,
}


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
