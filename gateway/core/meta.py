"""What a template says about itself: `meta.toml`, front matter, and which files it consists of.

Invariant: a mistake is told with file and line, and no key is ignored. Knows contents, not paths.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.locales import LOCALE_NAME
from gateway.core.variables import VARIABLE_TYPES, VariableSpec
from gateway.errors import TemplateError

META = "meta.toml"
CHANNEL_FILES: Mapping[str, tuple[str, ...]] = {
    "email": ("email.md", "email.html"),
    "sms": ("sms.txt",),
    "push": ("push.toml",),
}
PURPOSES = ("promotional", "transactional")
_KEYS = frozenset({"title", "purpose", "channels", "default_locale", "link_hosts", "variables"})
_VARIABLE_KEYS = frozenset({"type", "required", "example"})
_PUSH_KEYS = frozenset({"title", "body", "url", "image"})
_FRONT_KEYS = frozenset({"subject", "preheader"})
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_TOML_LINE = re.compile(r"at line (\d+)")


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """The plain content of a template folder.

    `files` maps paths inside it (`meta.toml`, `da/email.md`) to text; `layout` the same for
    `_layout` (`email.html`, and `da/email.html` for one locale).
    """

    id: str
    files: Mapping[str, str]
    layout: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Meta:
    """`meta.toml`, checked. `channels` is in the template's own order."""

    title: str
    purpose: str
    channels: tuple[str, ...]
    default_locale: str
    link_hosts: tuple[str, ...]
    variables: Mapping[str, VariableSpec]


@dataclass(frozen=True, slots=True)
class Line:
    """One templated line and where it stands."""

    text: str
    number: int


def fault(source: TemplateSource, file: str, what: str, *, line: int = 1) -> TemplateError:
    """The error that names the place."""
    return TemplateError(f"{source.id}/{file}:{line}: {what}")


def read_meta(source: TemplateSource) -> Meta:
    """`meta.toml` of a folder, or `TemplateError`."""
    text = source.files.get(META)
    if text is None:
        raise fault(source, META, "is missing")
    table = _toml(source, META)
    _refuse_unknown(source, META, table, known=_KEYS)
    locales = _locales(source)
    default = _default_locale(source, table, locales)
    return Meta(
        title=_text(source, table, "title", default=source.id),
        purpose=_one_of(source, table, "purpose", offered=PURPOSES),
        channels=_channels(source, table, default),
        default_locale=default,
        link_hosts=_texts(source, table, "link_hosts"),
        variables=_variables(source, table),
    )


def locales_of(source: TemplateSource) -> tuple[str, ...]:
    """The locale folders of a template."""
    return tuple(sorted(_locales(source)))


def file_of(source: TemplateSource, channel: str, locale: str) -> str | None:
    """The path of a channel's text in a locale, None where there is none."""
    found = [f"{locale}/{name}" for name in CHANNEL_FILES[channel]]
    there = [path for path in found if path in source.files]
    if len(there) > 1:
        raise fault(source, there[1], f"there is {there[0]} as well: keep one of the two")
    return there[0] if there else None


def read_front(source: TemplateSource, file: str) -> tuple[Mapping[str, Line], Line]:
    """Front matter by key, and the body: its text and the line it starts at."""
    lines = source.files[file].replace("\r\n", "\n").lstrip("\ufeff").split("\n")
    if lines[0].strip() != "---":
        raise fault(source, file, "starts with front matter: ---, subject: …, ---")
    front: dict[str, Line] = {}
    for number, line in enumerate(lines[1:], start=2):
        if line.strip() == "---":
            if "subject" not in front:
                raise fault(source, file, "front matter has no subject")
            return front, Line("\n".join(lines[number:]), number + 1)
        key, colon, value = line.partition(":")
        if line.strip() and (not colon or key.strip() not in _FRONT_KEYS):
            raise fault(source, file, "a line is `subject: …` or `preheader: …`", line=number)
        if line.strip():
            front[key.strip()] = Line(value.strip(), number)
    raise fault(source, file, "front matter has no closing ---")


def read_push(source: TemplateSource, file: str) -> Mapping[str, Line]:
    """The lines of `push.toml`; `image` may be absent."""
    table = _toml(source, file)
    _refuse_unknown(source, file, table, known=_PUSH_KEYS)
    lines = {}
    for key in ("title", "body", "url", "image"):
        value = table.get(key, "")
        line = line_of(source, file, key)
        if not isinstance(value, str) or (not value.strip() and key != "image"):
            raise fault(source, file, f"{key} must be a text", line=line)
        lines[key] = Line(value, line)
    return lines


def line_of(source: TemplateSource, file: str, word: str) -> int:
    """The first line of a file that holds `word`; 1 where none does."""
    for number, line in enumerate(source.files.get(file, "").split("\n"), start=1):
        if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", line):
            return number
    return 1


def _toml(source: TemplateSource, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(source.files[file])
    except tomllib.TOMLDecodeError as error:
        at = _TOML_LINE.search(str(error))
        raise fault(source, file, str(error), line=int(at.group(1)) if at else 1) from error


def _refuse_unknown(
    source: TemplateSource, file: str, table: Mapping[str, Any], *, known: frozenset[str]
) -> None:
    for key in table:
        if key not in known:
            raise fault(source, file, f"unknown key: {key}", line=line_of(source, file, key))


def _locales(source: TemplateSource) -> set[str]:
    known = {name for names in CHANNEL_FILES.values() for name in names}
    found = set()
    for path in source.files:
        locale, slash, name = path.partition("/")
        if not slash:
            continue
        if name not in known:
            raise fault(source, path, f"unknown file: a locale has {', '.join(sorted(known))}")
        if not LOCALE_NAME.fullmatch(locale):
            raise fault(source, path, f"{locale} is no locale")
        found.add(locale)
    return found


def _default_locale(source: TemplateSource, table: Mapping[str, Any], locales: set[str]) -> str:
    named = _text(source, table, "default_locale")
    if named and named not in locales:
        at = line_of(source, META, "default_locale")
        raise fault(source, META, f"there is no locale {named}", line=at)
    if named or "en" in locales:
        return named or "en"
    if len(locales) != 1:
        raise fault(source, META, "default_locale is missing, and there is not just one locale")
    return next(iter(locales))


def _channels(source: TemplateSource, table: Mapping[str, Any], locale: str) -> tuple[str, ...]:
    there = tuple(name for name in CHANNEL_FILES if file_of(source, name, locale))
    named = _texts(source, table, "channels") if "channels" in table else there
    at = line_of(source, META, "channels")
    if not named:
        raise fault(source, META, "no channels", line=at)
    for name in named:
        if name not in CHANNEL_FILES or named.count(name) > 1:
            raise fault(source, META, f"no channel, or twice: {name}", line=at)
        if name not in there:
            raise fault(source, META, f"{locale} has no text for {name}", line=at)
    return named


def _variables(source: TemplateSource, table: Mapping[str, Any]) -> dict[str, VariableSpec]:
    declared = table.get("variables", {})
    if not isinstance(declared, dict):
        at = line_of(source, META, "variables")
        raise fault(source, META, "variables are tables: [variables.name]", line=at)
    return {name: _variable(source, name, spec) for name, spec in declared.items()}


def _variable(source: TemplateSource, name: str, spec: Any) -> VariableSpec:
    at = line_of(source, META, name)
    if not isinstance(spec, dict) or not _NAME.fullmatch(name):
        raise fault(source, META, f"{name}: a variable is a table with a plain name", line=at)
    odd = sorted(set(spec) - _VARIABLE_KEYS)
    if odd:
        raise fault(source, META, f"{name}: unknown key: {odd[0]}", line=at)
    kind, required = spec.get("type", "string"), spec.get("required", False)
    if kind not in VARIABLE_TYPES:
        raise fault(source, META, f"{name}: type is one of {', '.join(VARIABLE_TYPES)}", line=at)
    if not isinstance(required, bool):
        raise fault(source, META, f"{name}: required is true or false", line=at)
    return VariableSpec(kind, required, _example(spec.get("example")))


def _example(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _text(source: TemplateSource, table: Mapping[str, Any], key: str, *, default: str = "") -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise fault(source, META, f"{key} must be a text", line=line_of(source, META, key))
    return value


def _texts(source: TemplateSource, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise fault(source, META, f"{key} must be a list", line=line_of(source, META, key))
    return tuple(value)


def _one_of(
    source: TemplateSource, table: Mapping[str, Any], key: str, *, offered: tuple[str, ...]
) -> str:
    value = _text(source, table, key, default=offered[0])
    if value not in offered:
        at = line_of(source, META, key)
        raise fault(source, META, f"{key} is one of {', '.join(offered)}", line=at)
    return value
