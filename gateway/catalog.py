"""The templates of this gateway, read from files and compiled once, at start.

Invariant: only plain text files inside the templates folder are read: no links, no hidden files,
nothing outside. The only reader of template files; what is in them is `core`'s affair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path

from gateway.core.compile import TemplateSource, compile_template
from gateway.core.render import Template
from gateway.core.variables import Brand
from gateway.errors import TemplateError

LAYOUT = "_layout"
FILE_BYTES_MAX = 256 * 1024
FILES_MAX = 1000
_SUFFIXES = frozenset({".toml", ".md", ".html", ".txt"})


class Catalog:
    """All templates by id, compiled; ids in order."""

    def __init__(self, templates: Mapping[str, Template]) -> None:
        self._templates = dict(sorted(templates.items()))

    def get(self, template_id: str) -> Template | None:
        """The template, None where there is none of that id."""
        return self._templates.get(template_id)

    def forget(self) -> None:
        """Forget what templates remember of messages: it may hold words of a person."""
        for template in self:
            template.forget()

    def __iter__(self) -> Iterator[Template]:
        return iter(self._templates.values())

    def __len__(self) -> int:
        return len(self._templates)

    def __contains__(self, template_id: object) -> bool:
        return template_id in self._templates


def load_catalog(path: Path | None, brand: Brand) -> Catalog:
    """Read and compile a templates folder; the packaged one for None.

    Raises one `TemplateError` that names every fault, a line each, with file and line.
    """
    folder = packaged_folder() if path is None else path
    if not folder.is_dir():
        raise TemplateError(f"{folder}:1: is no folder of templates")
    layout = _texts_in(folder / LAYOUT) or _texts_in(packaged_folder() / LAYOUT)
    templates: dict[str, Template] = {}
    faults: list[str] = []
    for inside in sorted(folder.iterdir()):
        if inside.name.startswith(("_", ".")) or not inside.is_dir():
            continue
        try:
            templates[inside.name] = _compiled(inside, layout, brand)
        except TemplateError as error:
            faults.append(str(error))
    if faults:
        raise TemplateError("\n".join(faults))
    if not templates:
        raise TemplateError(f"{folder}:1: holds no template")
    return Catalog(templates)


def packaged_folder() -> Path:
    """Where the templates that come with the gateway are: in the package, else in the checkout."""
    package = resources.files("gateway")
    installed = Path(str(package / "_templates"))
    return installed if installed.is_dir() else Path(str(package)).parent / "templates"


def _compiled(folder: Path, layout: Mapping[str, str], brand: Brand) -> Template:
    if folder.is_symlink():
        raise TemplateError(f"{folder.name}:1: is a link: templates are plain folders")
    return compile_template(TemplateSource(folder.name, _texts_in(folder), layout), brand)


def _texts_in(folder: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).as_posix()
        name = f"{folder.name}/{inside}"
        if path.is_symlink():
            raise TemplateError(f"{name}:1: is a link: templates are plain files")
        if path.name.startswith(".") or path.suffix not in _SUFFIXES or not path.is_file():
            continue
        texts[inside] = _text(path, name)
        if len(texts) > FILES_MAX:
            raise TemplateError(f"{name}:1: more than {FILES_MAX} files in one template")
    return texts


def _text(path: Path, name: str) -> str:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise TemplateError(f"{name}:1: is larger than {FILE_BYTES_MAX} bytes")
        return path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise TemplateError(f"{name}:1: is not UTF-8 text") from error
    except OSError as error:
        raise TemplateError(f"{name}:1: cannot be read: {error.strerror}") from error
