"""A desk to write templates on: sources as values, one brand, one person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.catalog import packaged_folder
from gateway.core.compile import TemplateSource, compile_template
from gateway.core.ids import delivery_id, send_id
from gateway.core.links import PlainLinks, TrackedLinks
from gateway.core.render import EmailContent, Template
from gateway.core.tokens import Tokens
from gateway.core.variables import Brand, Facts

BRAND = Brand("Shop", "https://shop.example", "1 Mill Road\n2000 Town")
PUBLIC_URL = "https://go.shop.example"
SECRET = "the current secret of these tests"
TOKENS = Tokens([SECRET], PUBLIC_URL)
DELIVERY = delivery_id(send_id("tests", "1"), 0)
TRACKED = TrackedLinks(TOKENS, DELIVERY)
PLAIN = PlainLinks(PUBLIC_URL)
WAY_OUT = '<p>{{ brand.postal_address }} <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>'  # C9
PERSON: Mapping[str, Any] = {
    "id": "r-1",
    "name": "Ann",
    "locale": "en",
    "country": None,
    "attributes": {},
}


def layout() -> dict[str, str]:
    """The packaged frame."""
    file = packaged_folder() / "_layout" / "email.html"
    return {"email.html": file.read_text(encoding="utf-8")}


def made(files: Mapping[str, str], *, frame: Mapping[str, str] | None = None) -> Template:
    """A template from its files; `meta.toml` may be left out."""
    source = TemplateSource("t", {"meta.toml": "", **files}, frame or layout())
    return compile_template(source, BRAND)


def mail(body: str, *, meta: str = "", subject: str = "Hello") -> Template:
    """A template of one Markdown e-mail."""
    return made({"meta.toml": meta, "en/email.md": f"---\nsubject: {subject}\n---\n{body}"})


def page(body: str, *, meta: str = "") -> Template:
    """A template of one e-mail that is a whole document."""
    return made({"meta.toml": meta, "en/email.html": f"---\nsubject: Hello\n---\n{body}"})


def sms(text: str, *, meta: str = "") -> Template:
    """A template of one SMS."""
    return made({"meta.toml": meta, "en/sms.txt": text})


def facts(variables: Mapping[str, Any] | None = None, **more: Any) -> Facts:
    """Facts about one person; `name=…` and so on change the person, the rest is as named."""
    person = {name: more.pop(name) for name in tuple(more) if name in PERSON}
    return Facts(
        recipient={**PERSON, **person}, campaign="spring", variables=variables or {}, **more
    )


def written(template: Template, known: Facts | None = None) -> EmailContent:
    """The e-mail for these facts, with plain links."""
    content = template.render("email", known or facts(), PLAIN).content
    assert isinstance(content, EmailContent)
    return content


def body_of(content: EmailContent) -> str:
    """What stands in the frame, without styles and line ends."""
    start = content.html.index('class="body"')
    inside = content.html[content.html.index(">", start) + 1 :]
    inside = inside[: inside.index('class="foot"')].rpartition("</td></tr>")[0]
    return unstyled(inside)


def unstyled(html: str) -> str:
    """HTML without `style` attributes and line ends."""
    parts = html.split(' style="')
    return "".join([parts[0], *(part.partition('"')[2] for part in parts[1:])]).replace("\n", "")
