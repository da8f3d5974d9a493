"""The command line: `winback COMMAND`.

Exit codes: 0 done, 2 bad usage or settings (one line that names the variable), 70 internal fault.
"""

from __future__ import annotations

import asyncio
import webbrowser
from pathlib import Path
from tempfile import NamedTemporaryFile

import click

from gateway import __version__, app_parts, app_run, config, demo, preview
from gateway.commands import COMMANDS
from gateway.commands_end import told_in_a_line
from gateway.telemetry import log_to_stderr


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """A messaging gateway for win-back campaigns."""


@cli.command()
def version() -> None:
    """Print the version."""
    click.echo(f"winback-gateway {__version__}")


@cli.command()
@click.option("--role", type=click.Choice(["all"]), default="all", help="what this process does")
def run(role: str) -> None:
    """Run the gateway until SIGTERM."""
    settings = config.load_here(command="run")
    log_to_stderr(settings.log.level, is_json=True)
    asyncio.run(app_run.serve(settings, role))


@cli.command()
def migrate() -> None:
    """Bring the store to this version's schema; may be repeated."""
    settings = config.load_here(command="migrate")
    click.echo(app_run.migrate(settings))


@cli.command(name="preview")
@click.argument("template")
@click.option("--locale", help="language of the texts, such as da")
@click.option("--open", "is_open", is_flag=True, help="write a page and open it")
@click.option("--html", type=click.Path(path_type=Path), help="write the page to this file")
def preview_command(template: str, locale: str | None, html: Path | None, *, is_open: bool) -> None:
    """Print all parts of a template, with the examples of its variables."""
    settings = config.load_here(command="preview")
    catalog = app_parts.catalog_of(settings)
    found = catalog.get(template)
    if found is None:
        known = ", ".join(sorted(one.id for one in catalog))
        raise click.UsageError(f"no template {template!r}; there are: {known}")
    click.echo(preview.preview_text(found, locale=locale, brand=app_parts.brand_of(settings)))
    if is_open and html is None:
        with NamedTemporaryFile(suffix=".html", delete=False) as file:
            html = Path(file.name)
    if html is not None:
        page = preview.preview_page(found, locale=locale, brand=app_parts.brand_of(settings))
        html.write_text(page, encoding="utf-8")
        click.echo(f"page: {html}")
        if is_open:
            webbrowser.open(html.as_uri())


@cli.command(name="demo")
@click.option("--once", is_flag=True, help="end by itself once all is delivered")
def demo_command(*, once: bool) -> None:
    """Run the main job on embedded parts: broker, store, gateway, sandbox, a campaign."""
    settings = config.load_here(command="demo")
    asyncio.run(demo.show(settings, is_once=once))


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """The entry point; turns our errors into lines and exit codes."""
    with told_in_a_line():
        cli.main(standalone_mode=False)


if __name__ == "__main__":
    main()
