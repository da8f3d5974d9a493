"""Random and malformed data against a running gateway: a run of schemathesis in its own process.

Invariant: it speaks to one loopback address, has a deadline, and is ended here by its process.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.gateway_process import KEY
from support.schemas import document

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "ignored_auth",
)
FAULTS_CHARS_MAX = 12_000
# What schemathesis takes for a refusal, and 413: a body that is wrong may be too large as well.
REFUSALS = (400, 401, 403, 404, 405, 406, 409, 413, 415, 422)
SETTINGS = f"""\
[checks.negative_data_rejection]
expected-statuses = {list(REFUSALS)}
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run came to: its exit code, its report in words, operations and cases tried."""

    code: int
    said: str
    operations: int
    cases: int

    @property
    def faults(self) -> str:
        """The report from its first fault on, not too long; all of it where there is none."""
        return self.said[max(0, self.said.find("= FAILURES =")) :][:FAULTS_CHARS_MAX]


async def run(url: str, folder: Path, *, examples: int, is_whole: bool, within_s: float) -> Ran:
    """Cases that the schema alone names, then `examples` random ones for each operation.

    `is_whole` sends each body under every content type that the document gives it, else under
    one: they have one schema and one reader. One worker: two of them fall over each other inside
    hypothesis now and then.
    """
    tried = document("openapi") if is_whole else _with_one_content_type(document("openapi"))
    (folder / "openapi.json").write_text(json.dumps(tried))
    (folder / "schemathesis.toml").write_text(SETTINGS)
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")), "run", "openapi.json",
        f"--url={url}", f"--header=Authorization: Bearer {KEY}", f"--checks={','.join(CHECKS)}",
        "--phases=examples,coverage,fuzzing", "--mode=all", f"--max-examples={examples}",
        "--workers=1", "--continue-on-failure", "--generation-database=none",
        "--request-timeout=15", "--warnings=off", "--no-color",
        cwd=folder, env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        out, _ = await asyncio.wait_for(process.communicate(), within_s)
    finally:
        if process.returncode is None:
            process.kill()
    said = out.decode(errors="replace")
    return Ran(
        code=process.returncode or 0,
        said=said,
        operations=_number(r"Tested: (\d+)", said),
        cases=_number(r"(\d+) generated, \1 passed", said),
    )


def _with_one_content_type(whole: Mapping[str, Any]) -> dict[str, Any]:
    less: dict[str, Any] = copy.deepcopy(dict(whole))
    for item in less["paths"].values():
        for operation in item.values():
            content = operation.get("requestBody", {}).get("content", {})
            for kind in list(content)[1:]:
                del content[kind]
    return less


def _number(pattern: str, said: str) -> int:
    found = re.search(pattern, said)
    return int(found[1]) if found else 0
