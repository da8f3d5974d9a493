"""The documents of the contract as they are committed, and values held against them.

Invariant: a value is checked against the committed document, never against the code that prints
it. `closed` makes the open schemas of answers strict: what they do not name, nobody may answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema
import yaml

from support.source import ROOT

DOCS = ROOT / "docs"
METHODS = frozenset({"get", "put", "post", "delete"})
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_formats = jsonschema.FormatChecker(formats=["date"])


@_formats.checks("date-time")
def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or _INSTANT.fullmatch(value) is not None


@cache
def document(name: str) -> Any:
    """`openapi` or `asyncapi`; whoever gets it leaves it as it is."""
    return yaml.load((DOCS / f"{name}.yaml").read_text(), Loader=yaml.CSafeLoader)


@cache
def schema_files() -> Mapping[str, Any]:
    """The schemas under docs/ by file name."""
    return {path.name: json.loads(path.read_text()) for path in (DOCS / "schemas").glob("*.json")}


def faults(value: Any, schema: Mapping[str, Any], name: str = "openapi") -> list[str]:
    """What is wrong with a value, in words; references are those of the document `name`."""
    return _faults(value, schema, document(name)["components"])


def faults_closed(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """The same where an object has no members but those that are named."""
    return _faults(value, _closed(schema), _closed_components())


def faults_in_file(value: Any, name: str) -> list[str]:
    """What is wrong with a value by a schema of its own file."""
    return _said(
        jsonschema.Draft202012Validator(schema_files()[name], format_checker=_formats), value
    )


def _faults(value: Any, schema: Mapping[str, Any], components: Any) -> list[str]:
    whole = {**schema, "components": components}
    return _said(jsonschema.Draft202012Validator(whole, format_checker=_formats), value)


def _said(validator: Any, value: Any) -> list[str]:
    return [f"{fault.json_path}: {fault.message[:300]}" for fault in validator.iter_errors(value)]


@cache
def _closed_components() -> Any:
    return _closed(document("openapi")["components"])


def _closed(value: Any) -> Any:
    if isinstance(value, list):
        return [_closed(one) for one in value]
    if not isinstance(value, dict):
        return value
    inner = {name: _closed(one) for name, one in value.items()}
    is_object = inner.get("type") == "object" and "properties" in inner
    return {**inner, "unevaluatedProperties": False} if is_object else inner


# --- operations ---------------------------------------------------------------------------------


def operations() -> dict[tuple[str, str], Any]:
    """The operations of the HTTP side by method and path."""
    return {
        (method.upper(), path): operation
        for path, item in document("openapi")["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def answer_faults(
    operation: Mapping[str, Any], status: int, headers: Mapping[str, str], body: bytes
) -> list[str]:
    """What about an answer is not as documented: its status, content type, headers or body."""
    told = operation["responses"].get(str(status))
    if told is None:
        return [f"status {status} is not documented: {body[:300]!r}"]
    if "$ref" in told:
        told = document("openapi")["components"]["responses"][told["$ref"].rpartition("/")[2]]
    missing = [f"no header {name}" for name in told.get("headers", {}) if name not in headers]
    kind = headers.get("Content-Type", "").partition(";")[0]
    if not body:
        return missing
    content = told.get("content", {}).get(kind)
    if content is None:
        return [*missing, f"content type {kind} is not documented with {status}"]
    if not kind.endswith("json"):
        return missing
    return missing + faults_closed(json.loads(body), content["schema"])


def example_of(operation: Mapping[str, Any], kind: str = "application/json") -> Any:
    """The documented example body of an operation; the first where there are several."""
    content = operation["requestBody"]["content"][kind]
    if "example" in content:
        return content["example"]
    first = next(iter(content["examples"].values()))
    name = first["$ref"].rpartition("/")[2]
    return document("openapi")["components"]["examples"][name]["value"]
