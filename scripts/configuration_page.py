"""Prints `docs/configuration.md` from the table of settings, so that the two cannot differ.

python scripts/configuration_page.py          writes the page
python scripts/configuration_page.py --print  shows it
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

from gateway.config import DEMO_DEFAULTS, SECRETS_DIR, Variable, variables
from gateway.settings import Settings

PAGE = Path(__file__).resolve().parents[1] / "docs/configuration.md"
HEAD = f"""\
# Configuration

<!-- Printed from gateway/settings.py by `make fmt`; change it there. -->

The gateway is set by environment variables, `WINBACK_<SECTION>__<FIELD>`, and by nothing else.

- An unknown `WINBACK_*` name stops the start, with the name that was probably meant.
- An empty value counts as not set.
- Lists are comma-separated; spaces around an item do not count.
- A wrong or missing setting is exit code 2 and one line that starts with the variable's name.
- A setting may also be a file named like the variable in the folder `{SECRETS_DIR}`.
  That is how secrets are meant to come: mounted as files, never in arguments or images.
  One line end at the end of the file does not count.
  A setting in both places is refused: who rotates one of the two would wonder why nothing happens.
- Base URLs have no path, and are plain `http` only on a loopback host.
- The default rates are careful guesses, shared by all replicas: look up what your account may send.
- In Kubernetes set `enableServiceLinks: false`: a Service named `winback` would otherwise put
  names of its own, such as `WINBACK_PORT`, into the environment.

*Needed by* says which commands stop without the setting; in brackets, only with that choice.
`demo` and `preview` need nothing: they fill in what the last table says.
"""
DEMO_HEAD = """
## What the demo fills in

Everybody knows these values, so a demo that listens beyond this machine needs keys of its own.

| variable | value |
| --- | --- |
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, *(_section(section) for section in get_type_hints(Settings)), DEMO_HEAD]
    demo = (f"| `{name}` | `{value}` |\n" for name, value in DEMO_DEFAULTS.items())
    return "".join([*parts, *demo])


def _section(section: str) -> str:
    kind = get_type_hints(Settings)[section]
    head = f"\n## {kind.__name__}\n\n{kind.__doc__}\n\n"
    table = "| variable | default | form | needed by | meaning |\n| --- | --- | --- | --- | --- |\n"
    return head + table + "".join(_rows(section))


def _rows(section: str) -> Iterator[str]:
    for variable in variables():
        if variable.section != section:
            continue
        row = variable.row
        default = f"`{row.default}`" if row.default else "–"
        secret = " (secret)" if row.form.secret and "secret" not in row.form.label else ""
        yield (
            f"| `{variable.name}` | {default} | {row.form.label}{secret} | {_needed(variable)} "
            f"| {row.meaning} |\n"
        )


def _needed(variable: Variable) -> str:
    if variable.row.by:
        return ", ".join(f"`{command}`" for command in sorted(variable.row.by))
    if variable.row.needed_with:
        name, choices = variable.row.needed_with
        return f"[`{name}` {' or '.join(f'`{choice}`' for choice in choices)}]"
    return "–"


if __name__ == "__main__":
    if "--print" in sys.argv:
        sys.stdout.write(page())
    else:
        PAGE.write_text(page())
