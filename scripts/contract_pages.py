"""Prints the contract in machine form from the code, so that the two cannot differ.

python scripts/contract_pages.py              writes docs/openapi.yaml, asyncapi.yaml, schemas/
python scripts/contract_pages.py FOLDER       writes them there
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from contract import asyncapi, examples, openapi, schemas, writing

from gateway.core.engagement import EventType

DOCS = Path(__file__).resolve().parents[1] / "docs"
HEAD = "Printed from the code by `make fmt`; change it there."
DRAFT = "https://json-schema.org/draft/2020-12/schema"
FILES = {
    **{name: kind for kind, name in schemas.INPUTS.items()},
    "ConsentChange": "consent-change",
    "Engagement": "winback.engagement.v1",
    "Fence": "fence",
    "Pool": "coupon-pool",
    "Redeem": "coupon-redeem",
    "SwitchState": "switch-state",
}


def pages() -> dict[str, str]:
    """Every page by its path under docs/."""
    number = version("winback-gateway")
    return {
        "openapi.yaml": writing.as_yaml(openapi.document(number), head=HEAD),
        "asyncapi.yaml": writing.as_yaml(asyncapi.document(number), head=HEAD),
        **{f"schemas/{file}.json": _schema(name, file) for name, file in FILES.items()},
    }


def _schema(name: str, file: str) -> str:
    whole = schemas.alone(name, schemas.named())
    found = {"$schema": DRAFT, "$id": f"urn:winback:{file}", "title": file, **whole}
    return writing.as_json({**found, "examples": _examples(name)})


def _examples(name: str) -> list[Any]:
    kinds = {schema: kind for kind, schema in schemas.INPUTS.items()}
    if name in kinds:
        return [examples.event(kinds[name])]
    if name == "Engagement":
        return [examples.fact(kind) for kind in EventType]
    return [examples.BODIES[name]]


def write(folder: Path) -> None:
    """Write all pages, and take away schemas that are no more."""
    (folder / "schemas").mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in (folder / "schemas").glob("*.json"):
        if f"schemas/{old.name}" not in made:
            old.unlink()
    for path, text in made.items():
        (folder / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)
