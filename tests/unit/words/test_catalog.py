from __future__ import annotations

from pathlib import Path

import pytest
from unit.words.desk import BRAND, facts, written

from gateway.catalog import load_catalog, packaged_folder
from gateway.errors import TemplateError

FRONT = "---\nsubject: a\n---\n"


def folder(root: Path, files: dict[str, str]) -> Path:
    """A templates folder with these files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_the_packaged_templates_are_found_and_compile() -> None:
    """Without a path the templates that come with the gateway are loaded, in order."""
    catalog = load_catalog(None, BRAND)
    assert [template.id for template in catalog] == [
        "closing_the_loop",
        "expiry_reminder",
        "feedback",
        "geo_coupon",
        "goodbye",
        "hello",
        "incentive",
        "loyalty_reminder",
    ]
    assert catalog.get("hello") is next(t for t in catalog if t.id == "hello")
    assert catalog.get("_layout") is None
    assert "hello" in catalog
    assert len(catalog) == 8


def test_a_folder_without_a_frame_gets_the_packaged_one(tmp_path: Path) -> None:
    """One's own templates may do without a frame; one's own frame is used where there is one."""
    files = {"a/meta.toml": "", "a/en/email.md": f"{FRONT}x"}
    plain = load_catalog(folder(tmp_path, files), BRAND).get("a")
    assert plain is not None
    assert "Unsubscribe, or choose" in written(plain).html
    own = (
        (packaged_folder() / "_layout" / "email.html").read_text("utf-8").replace("or choose", "!")
    )
    framed = load_catalog(folder(tmp_path, {"_layout/email.html": own}), BRAND).get("a")
    assert framed is not None
    assert "Unsubscribe, ! what you hear about" in written(framed).html
    assert plain.version != framed.version


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    """Two broken templates are two lines, each with file and line."""
    files = {
        "a/meta.toml": "",
        "a/en/email.md": f"{FRONT}\n{{{{ nobody }}}}",
        "b/meta.toml": "titel = 'x'",
        "c/en/sms.txt": "x",
        "d/meta.toml": "",
        "d/en/sms.txt": "fine",
    }
    with pytest.raises(TemplateError) as caught:
        load_catalog(folder(tmp_path, files), BRAND)
    assert str(caught.value).split("\n") == [
        "a/en/email.md:5: nobody is not declared",
        "b/meta.toml:1: unknown key: titel",
        "c/meta.toml:1: is missing",
    ]


def test_s5_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    """Neither a file nor a folder may be a link, wherever it leads."""
    outside = folder(tmp_path / "outside", {"meta.toml": "", "secret.txt": "x", "en/sms.txt": "x"})
    inside = folder(tmp_path / "inside", {"a/meta.toml": "", "a/en/email.md": f"{FRONT}x"})
    (inside / "a" / "en" / "sms.txt").symlink_to(outside / "secret.txt")
    with pytest.raises(TemplateError, match=r"a/en/sms\.txt:1: is a link"):
        load_catalog(inside, BRAND)
    (inside / "a" / "en" / "sms.txt").unlink()
    (inside / "b").symlink_to(outside)
    with pytest.raises(TemplateError, match="b:1: is a link"):
        load_catalog(inside, BRAND)


@pytest.mark.parametrize("name", ["../hello", "hello/../hello", "/etc", "hello\x00", "", "."])
def test_s5_a_template_name_cannot_leave_the_catalog(name: str) -> None:
    """Names are looked up among what was compiled, never on the disk."""
    assert load_catalog(None, BRAND).get(name) is None


def test_files_that_are_no_text_are_refused_or_passed_over(tmp_path: Path) -> None:
    """Pictures and hidden files are nobody's business; a text that is not UTF-8 is a fault."""
    files = {"a/meta.toml": "", "a/en/sms.txt": "fine", "a/.notes.txt": "x", "a/logo.svg": "x"}
    root = folder(tmp_path, files)
    (root / "README.md").write_text("about these templates", encoding="utf-8")
    assert load_catalog(root, BRAND).get("a") is not None
    (root / "a" / "en" / "sms.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(TemplateError, match=r"a/en/sms\.txt:1: is not UTF-8"):
        load_catalog(root, BRAND)


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_templates_is_refused(tmp_path: Path, name: str) -> None:
    """A wrong path is found at start, not by the first request."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(TemplateError, match=rf"{name}:1: "):
        load_catalog(tmp_path / name, BRAND)


def test_windows_line_ends_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    """Campaign people edit with what they have."""
    text = "\ufeff---\r\nsubject: Hi {{ recipient.name }}\r\n---\r\nOne\r\n"
    root = folder(tmp_path, {"a/meta.toml": "title = 'a'\r\n"})
    (root / "a" / "en").mkdir()
    (root / "a" / "en" / "email.md").write_bytes(text.encode())
    template = load_catalog(root, BRAND).get("a")
    assert template is not None
    assert written(template, facts(name="Ann")).subject == "Hi Ann"
