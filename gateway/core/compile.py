"""Templates, from the files that campaign people write to texts that the engine can fill.

Invariant: what compiles has every name declared, every link checked or checkable, no expression
where escaping does not protect, and, if promotional, a way out and a postal address; everything
else is a `TemplateError` with file and line, at start. Pure: sources come in as values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from gateway.core.atoms import METHODS, AtomError, Atoms, check
from gateway.core.engine import Engine, Unrenderable, Written
from gateway.core.links import LinkError, allowed_hosts
from gateway.core.locales import direction
from gateway.core.mail import MailError, check_html, text_of, with_links, with_pixel, with_styles
from gateway.core.markdown import Markdown, tidier
from gateway.core.meta import (
    META,
    Line,
    Meta,
    TemplateSource,
    fault,
    file_of,
    line_of,
    locales_of,
    read_front,
    read_meta,
    read_push,
)
from gateway.core.render import EmailPart, Part, PushPart, SmsPart, Template
from gateway.core.shortcuts import Shape, Shortcuts
from gateway.core.targets import TargetError, Targets, prints_link, unescaped
from gateway.core.trail import FixedLink, Target
from gateway.core.trials import tried
from gateway.core.variables import (
    BRAND_NAMES,
    CHURN_NAMES,
    COUPON_NAMES,
    OFFER_NAMES,
    RECIPIENT_NAMES,
    Brand,
    misfit,
)
from gateway.errors import TemplateError

__all__ = ["TemplateSource", "compile_template"]

_PLAIN_NAMES = frozenset({"campaign", "unsubscribe_url", "preferences_url"})
_VALUES = ("recipient", "variables", "churn", "offer", "coupon")
_FRAME_NAMES = frozenset({"subject", "preheader", "locale", "direction"})
_WAYS_OUT = ("unsubscribe_url", "preferences_url")
_WAY_OUT = unescaped("_out")
_ENGINE_NAMES = frozenset({"range", "dict", "namespace", "loop"})
_OFFER = re.compile(r"\{[{%][^}]*\boffer\b")
_Prepared = tuple[tuple[Target, ...], tuple[FixedLink, ...], tuple[Written, ...], Shape | None]
_PIXEL = (
    f'{{% if _pixel %}}<img src="{unescaped("_pixel")}" width="1" height="1" alt="" '
    'style="display:block;border:0">{% endif %}'
)


def compile_template(source: TemplateSource, brand: Brand) -> Template:
    """Compile one folder. Raises `TemplateError` that starts with `file:line`."""
    meta = read_meta(source)
    compiler = _Compiler(source, meta, brand)
    parts = {channel: compiler.parts(channel) for channel in meta.channels}
    template = Template(
        id=source.id,
        version=_version(source),
        title=meta.title,
        purpose=meta.purpose,
        channels=meta.channels,
        default_locale=meta.default_locale,
        variables=meta.variables,
        link_hosts=meta.link_hosts,
        has_unsubscribe=True,
        uses_offer=any(_OFFER.search(text) for text in source.files.values()),
        brand=brand,
        hosts=compiler.hosts,
        brand_names={name: getattr(brand, name) for name in BRAND_NAMES},
        parts=parts,
        engine=compiler.engine,
    )
    return tried(template, source, compiler.made)


def _version(source: TemplateSource) -> str:
    digest = blake2b(digest_size=6, person=b"template")
    for folder in (source.files, source.layout):
        for path, text in sorted(folder.items()):
            digest.update(f"{len(path)}:{path}{len(text)}:{text}".encode())
    return digest.hexdigest()


class _Compiler:
    """Compiles the parts of one template into one engine."""

    def __init__(self, source: TemplateSource, meta: Meta, brand: Brand) -> None:
        self.engine = Engine()
        self.made: dict[str, str] = {}
        self._scratch = Engine()
        self._source = source
        self._meta = meta
        self.hosts = self._allowed(brand)
        self._site_url = brand.site_url
        self._brand = {name: getattr(brand, name) for name in BRAND_NAMES}
        self._numbers = frozenset(
            {f"variables.{name}" for name, spec in meta.variables.items() if spec.type == "number"}
            | {"offer.percent", "loop.index", "loop.index0", "loop.length"}
        )
        self._names: Mapping[str, Sequence[str]] = {
            "recipient": RECIPIENT_NAMES,
            "variables": tuple(meta.variables),
            "churn": CHURN_NAMES,
            "offer": OFFER_NAMES,
            "coupon": COUPON_NAMES,
            "brand": BRAND_NAMES,
        }
        self._is_link = prints_link(meta.variables)
        self._check_examples()

    def parts(self, channel: str) -> dict[str, Part]:
        """The compiled parts of a channel, by locale."""
        found = {loc: file_of(self._source, channel, loc) for loc in locales_of(self._source)}
        return {loc: self._part(channel, loc, file) for loc, file in found.items() if file}

    def _part(self, channel: str, locale: str, file: str) -> Part:
        try:
            if channel == "email":
                return self._email(locale, file)
            return self._sms(locale, file) if channel == "sms" else self._push(locale, file)
        except TargetError as error:
            raise self._link_fault(file, str(error), error.target) from error
        except Unrenderable as error:
            raise self._link_fault(file, error.what, error.link) from error

    # --- the three kinds -----------------------------------------------------------------------

    def _email(self, locale: str, file: str) -> EmailPart:
        front, body = read_front(self._source, file)
        for line in front.values():
            self._check(file, line)
        shortcuts = self._shortcuts(locale)
        heads = {}
        for key in ("subject", "preheader"):
            name = heads[key] = f"{locale}/{key}"
            self._add(name, front.get(key, Line("", 1)).text, shortcuts)
            if name in self.engine.fixed:
                shortcuts.fix(key, " ".join(self.engine.fixed[name].split()))
        if file.endswith(".html"):
            html, text, targets = self._document(file, body, shortcuts)
        else:
            self._check(file, body)
            html, text, targets = self._framed(locale, body, shortcuts)
        return EmailPart(
            locale,
            file,
            *_prepared(targets, shortcuts),
            subject=heads["subject"],
            preheader=heads["preheader"],
            html=self._add_made(f"{locale}/mail.html", html),
            text=self._add_made(f"{locale}/mail.txt", text),
        )

    def _shortcuts(self, locale: str) -> Shortcuts:
        fixed = {f"brand.{name}": text for name, text in self._brand.items()}
        known = {f"{root}.{name}" for root in _VALUES for name in self._names[root]}
        return Shortcuts(fixed | {"locale": locale, "direction": direction(locale)}, known)

    def _targets(self, atoms: Atoms, shortcuts: Shortcuts) -> Targets:
        return Targets(atoms, shortcuts, hosts=self.hosts, site_url=self._site_url)

    def _framed(self, locale: str, body: Line, shortcuts: Shortcuts) -> tuple[str, str, Targets]:
        """HTML, plain twin and targets of a Markdown mail in its frame."""
        name = (
            f"{locale}/email.html"
            if f"{locale}/email.html" in self._source.layout
            else ("email.html")
        )
        layout = self._source.layout.get(name)
        if layout is None:
            raise TemplateError("_layout/email.html:1: is missing")
        self._check(f"_layout/{name}", Line(layout, 1), extra=_FRAME_NAMES | {"content"})
        atoms = Atoms(layout, body.text)
        frame = atoms.hide(layout)
        words = [m.group() for m in atoms.found.finditer(frame) if _is_content(m.group(), atoms)]
        if len(words) != 1:
            raise TemplateError(f"_layout/{name}:1: places the body once, with {{{{ content }}}}")
        self._check_html(f"_layout/{name}", frame, atoms)
        markdown = Markdown(atoms.hide(body.text), atoms, self._is_link)
        targets = self._targets(atoms, shortcuts)
        styled = self._styled(f"_layout/{name}", frame.replace(words[0], markdown.html()), atoms)
        html = with_links(styled, link=targets.in_html, image=targets.image)
        twin = text_of(self._styled(f"_layout/{name}", frame, atoms), atoms, targets.in_text)
        text = twin.replace(words[0], f"\n\n{markdown.text(targets.in_text)}\n\n")
        html = with_pixel(html, _PIXEL)
        return *self._shown(html, text, atoms, shortcuts), targets

    def _document(self, file: str, body: Line, shortcuts: Shortcuts) -> tuple[str, str, Targets]:
        """HTML, plain twin and targets of a mail that is a whole document."""
        self._check(file, body, extra=_FRAME_NAMES)
        atoms = Atoms(body.text)
        hidden = atoms.hide(body.text)
        self._check_html(file, hidden, atoms, line=body.number)
        targets = self._targets(atoms, shortcuts)
        styled = self._styled(file, hidden, atoms)
        html = with_links(styled, link=targets.in_html, image=targets.image)
        html = with_pixel(html, _PIXEL)
        text = text_of(styled, atoms, targets.in_text)
        return *self._shown(html, text, atoms, shortcuts), targets

    def _shown(self, html: str, text: str, atoms: Atoms, shortcuts: Shortcuts) -> tuple[str, str]:
        """Both twins as the engine gets them."""
        in_html = shortcuts.code(atoms, self.engine.escaped, dict.fromkeys(_WAYS_OUT, _WAY_OUT))
        return atoms.show(html, in_html), atoms.show(tidier(text, atoms), shortcuts.code(atoms))

    def _sms(self, locale: str, file: str) -> SmsPart:
        line = Line(self._source.files[file], 1)
        self._check(file, line)
        atoms = Atoms(line.text)
        hidden = _without_statement_lines(atoms.hide(line.text), atoms)
        shortcuts = self._shortcuts(locale)
        targets = self._targets(atoms, shortcuts)
        text = atoms.show(targets.in_sms(hidden, self._is_link), shortcuts.code(atoms))
        name = self._add_made(f"{locale}/sms.txt", text)
        return SmsPart(locale, file, *_prepared(targets, shortcuts), name)

    def _push(self, locale: str, file: str) -> PushPart:
        lines = read_push(self._source, file)
        for line in lines.values():
            self._check(file, line)
        atoms = Atoms(*(line.text for line in lines.values()))
        shortcuts = self._shortcuts(locale)
        targets = self._targets(atoms, shortcuts)
        url = targets.in_text(atoms.hide(lines["url"].text.strip()))
        image = atoms.hide(lines["image"].text.strip())
        picture = targets.picture(image) if image else ""
        code = shortcuts.code(atoms)
        title = self._add(f"{locale}/title", lines["title"].text, shortcuts)
        body = self._add(f"{locale}/body", lines["body"].text, shortcuts)
        url = self._add_made(f"{locale}/url", atoms.show(url, code))
        image = self._add_made(f"{locale}/image", atoms.show(picture, code)) if image else ""
        return PushPart(locale, file, *_prepared(targets, shortcuts), title, body, url, image)

    # --- checks --------------------------------------------------------------------------------

    def _add(self, name: str, text: str, shortcuts: Shortcuts) -> str:
        atoms = Atoms(text)
        hidden = atoms.hide(text)
        return self._add_made(name, atoms.show(hidden, shortcuts.code(atoms)))

    def _add_made(self, name: str, text: str) -> str:
        try:
            self.engine.add(name, text)
        except Unrenderable as error:
            # The author's text was in order: its pieces were torn apart by what stands around them.
            what = f"{error.what}: a statement opens and closes in different blocks of the text"
            raise TemplateError(f"{self._source.id}/{name}:1: {what}") from error
        self.made[name] = text
        return name

    def _check(self, file: str, line: Line, *, extra: frozenset[str] = frozenset()) -> None:
        """Refuse what is no syntax, not on the lists, or not declared."""
        atoms = Atoms(line.text)
        pieces = atoms.within(atoms.hide(line.text))
        before = line.number - 1
        try:
            self._scratch.add("checked", line.text)
        except Unrenderable as error:
            raise self._fault(file, error.what, line=before + max(error.line, 1)) from error
        for atom in pieces:
            try:
                check(atom, self._numbers)
            except AtomError as error:
                raise self._fault(file, str(error), line=before + atom.line) from error
        for name in sorted(self._scratch.names_in(line.text)):
            if not self._is_known(name, extra):
                at = next((a.line for a in pieces if _names(a.code, name)), 1)
                raise self._fault(file, f"{name} is not declared", line=before + at)

    def _is_known(self, name: str, extra: frozenset[str]) -> bool:
        root, _, rest = name.partition(".")
        second = rest.partition(".")[0]
        if root in self._names:
            return not second or second in self._names[root]
        if root in _PLAIN_NAMES or root in extra:
            return not second or second in METHODS
        return root in _ENGINE_NAMES

    def _check_html(self, file: str, hidden: str, atoms: Atoms, *, line: int = 1) -> None:
        try:
            check_html(hidden, atoms)
        except MailError as error:
            at = line - 1 + atoms.line_at(hidden, error.position)
            raise self._fault(file, str(error), line=at) from error

    def _styled(self, file: str, hidden: str, atoms: Atoms) -> str:
        try:
            return with_styles(hidden, atoms)
        except MailError as error:
            raise self._fault(file, str(error)) from error

    def _check_examples(self) -> None:
        for name, spec in self._meta.variables.items():
            what = "" if spec.example is None else misfit(spec.type, spec.example, hosts=self.hosts)
            if what:
                at = line_of(self._source, META, name)
                raise self._fault(META, f"the example of {name} {what}", line=at)

    def _allowed(self, brand: Brand) -> frozenset[str]:
        try:
            return allowed_hosts(brand.site_url, self._meta.link_hosts)
        except LinkError as error:
            at = line_of(self._source, META, "link_hosts")
            raise self._fault(META, f"a host of link_hosts {error}", line=at) from error

    def _link_fault(self, file: str, what: str, target: str) -> TemplateError:
        places = [(file, self._source.files[file])]
        places += [(f"_layout/{name}", text) for name, text in self._source.layout.items()]
        for place, text in places:
            if target and target in text:
                line = text.count("\n", 0, text.index(target)) + 1
                return self._fault(place, f"{what}: {target}", line=line)
        return self._fault(file, f"{what}: {target}")

    def _fault(self, file: str, what: str, *, line: int = 1) -> TemplateError:
        if file.startswith("_layout/"):
            return TemplateError(f"{file}:{line}: {what}")
        return fault(self._source, file, what, line=line)


def _prepared(targets: Targets, shortcuts: Shortcuts) -> _Prepared:
    """What every part has: targets, fixed links, printed values, and what it depends on."""
    written = [Written(name, how, own) for (name, how), own in shortcuts.written.items()]
    return targets.found, targets.fixed, tuple(written), shortcuts.shape()


def _is_content(word: str, atoms: Atoms) -> bool:
    return atoms.within(word)[0].code == "content"


def _names(code: str, name: str) -> bool:
    last = name.rpartition(".")[2]
    return re.search(rf"(?<!\w){re.escape(last)}(?!\w)", code) is not None


def _without_statement_lines(hidden: str, atoms: Atoms) -> str:
    """A line of statements alone leaves no empty line behind."""
    alone = re.compile(rf"^[ \t]*((?:{atoms.found.pattern}[ \t]*)+)\n", re.MULTILINE)

    def joined(match: re.Match[str]) -> str:
        silent = all(atom.is_statement for atom in atoms.within(match.group()))
        return match.group(1).replace(" ", "") if silent else match.group()

    return alone.sub(joined, hidden)
