from __future__ import annotations

import base64
import string
from random import Random

import pytest
from unit.words.desk import DELIVERY, PUBLIC_URL, SECRET, TOKENS

from gateway.core.ids import delivery_id, send_id
from gateway.core.tokens import Opened, TokenPurpose, Tokens
from gateway.errors import TokenError

URL = "https://shop.example/back?a=1&b=ø"
ALPHABET = string.ascii_letters + string.digits + "-_"


def last(url: str) -> str:
    """The token at the end of a link."""
    return url.rpartition("/")[2].removesuffix(".gif")


MADE: dict[TokenPurpose, str] = {
    "open": last(TOKENS.open_url(DELIVERY)),
    "click": last(TOKENS.click_url(DELIVERY, 3, URL)),
    "preferences": last(TOKENS.preferences_url(DELIVERY)),
}


def test_s8_a_click_carries_its_destination() -> None:
    """Delivery, link and destination come back from the token alone: no store is asked."""
    assert TOKENS.read("click", MADE["click"]) == Opened(DELIVERY, 3, URL)


def test_links_have_the_routes_of_the_contract() -> None:
    """Each kind of link stands under its own route of the public URL."""
    assert TOKENS.open_url(DELIVERY) == f"{PUBLIC_URL}/t/o/{MADE['open']}.gif"
    assert TOKENS.click_url(DELIVERY, 3, URL) == f"{PUBLIC_URL}/t/c/{MADE['click']}"
    assert TOKENS.preferences_url(DELIVERY) == f"{PUBLIC_URL}/t/u/{MADE['preferences']}"


@pytest.mark.parametrize("made_for", MADE)
@pytest.mark.parametrize("asked_for", MADE)
def test_s9_a_token_serves_one_purpose(made_for: TokenPurpose, asked_for: TokenPurpose) -> None:
    """A token for opening is none for unsubscribing, and so on for every pair."""
    if made_for == asked_for:
        assert TOKENS.read(asked_for, MADE[made_for]).delivery_id == DELIVERY
        return
    with pytest.raises(TokenError):
        TOKENS.read(asked_for, MADE[made_for])


@pytest.mark.parametrize("purpose", MADE)
def test_s8_every_changed_character_breaks_a_token(purpose: TokenPurpose) -> None:
    """Whatever character is changed, dropped or doubled, the token is no longer ours."""
    token = MADE[purpose]
    for at, char in enumerate(token):
        other = ALPHABET[(ALPHABET.index(char) + 1) % len(ALPHABET)]
        for changed in (token[:at] + other + token[at + 1 :], token[:at] + token[at + 1 :]):
            with pytest.raises(TokenError):
                TOKENS.read(purpose, changed)


def test_s8_unused_bits_of_base64_are_not_free() -> None:
    """Other spellings of the same bytes are refused: one token, one link."""
    for purpose, token in MADE.items():
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        for tail in ALPHABET:
            spelled = token[:-1] + tail
            same = base64.urlsafe_b64decode(spelled + "=" * (-len(spelled) % 4)) == raw
            if same and spelled != token:
                with pytest.raises(TokenError):
                    TOKENS.read(purpose, spelled)
        for spelled in (f"{token}=", f" {token}", f"{token[:5]}\n{token[5:]}"):
            with pytest.raises(TokenError):
                TOKENS.read(purpose, spelled)


@pytest.mark.parametrize(
    "odd", ["", "x", "\x00", "ø" * 40, "A" * 100_000, "=" * 40, "%00", "AAAA" * 12, "../../etc"]
)
@pytest.mark.parametrize("purpose", MADE)
def test_anything_else_is_a_token_error(odd: str, purpose: TokenPurpose) -> None:
    """No input raises anything but TokenError."""
    with pytest.raises(TokenError):
        TOKENS.read(purpose, odd)


@pytest.mark.parametrize("odd", [None, 7, b"AAAA"])
def test_what_is_no_text_is_a_token_error(odd: object) -> None:
    """A caller that hands in no text at all gets the same answer."""
    with pytest.raises(TokenError):
        TOKENS.read("open", odd)  # type: ignore[arg-type]


def test_c8_links_go_on_working_after_rotation() -> None:
    """With the old secret in second place its links are good; new links need the new one."""
    rotated = Tokens(["a new secret", SECRET], PUBLIC_URL)
    assert rotated.read("click", MADE["click"]) == Opened(DELIVERY, 3, URL)
    fresh = last(rotated.open_url(DELIVERY))
    assert rotated.read("open", fresh).delivery_id == DELIVERY
    with pytest.raises(TokenError):
        TOKENS.read("open", fresh)


def test_c8_a_dropped_secret_ends_its_links() -> None:
    """Links of a secret that is no longer listed are not ours."""
    with pytest.raises(TokenError):
        Tokens(["a new secret"], PUBLIC_URL).read("click", MADE["click"])


def test_s9_tokens_are_short_and_hold_128_bits_of_mac() -> None:
    """Tokens without a destination stay under 200 characters and carry a 16-byte MAC."""
    for purpose in ("open", "preferences"):
        raw = base64.urlsafe_b64decode(MADE[purpose] + "==")
        assert len(raw) == 2 + 17 + 16
        assert len(MADE[purpose]) <= 200


def test_s9_random_tokens_never_hit() -> None:
    """Fifty thousand tokens of the right shape with a wrong MAC: no hit."""
    random = Random(5)  # noqa: S311 - the same guesses in every run
    head = base64.urlsafe_b64decode(MADE["open"] + "==")[:19]
    for _ in range(50_000):
        guess = base64.urlsafe_b64encode(head + random.randbytes(16)).rstrip(b"=").decode()
        with pytest.raises(TokenError):
            TOKENS.read("open", guess)


@pytest.mark.parametrize("secrets", [[], [""], ["good", ""], [b""]])
def test_an_empty_secret_is_refused(secrets: list[str | bytes]) -> None:
    """Nothing is ever signed with an empty secret."""
    with pytest.raises(ValueError, match="secret"):
        Tokens(secrets, PUBLIC_URL)


def test_short_codes_are_the_same_for_the_same_link_only() -> None:
    """Twelve base62 characters that depend on delivery, link and secret."""
    code = TOKENS.short_code(DELIVERY, 0)
    other = delivery_id(send_id("tests", "2"), 0)
    assert code == TOKENS.short_code(DELIVERY, 0)
    assert len(code) == 12
    assert code.isalnum()
    assert code.isascii()
    codes = {
        code,
        TOKENS.short_code(DELIVERY, 1),
        TOKENS.short_code(other, 0),
        Tokens(["another"], PUBLIC_URL).short_code(DELIVERY, 0),
    }
    assert len(codes) == 4


def test_a_link_index_out_of_range_is_refused() -> None:
    """An index that would not fit its two bytes is a fault of the caller."""
    with pytest.raises(ValueError, match="index"):
        TOKENS.click_url(DELIVERY, 70_000, URL)


@pytest.mark.parametrize("letter", ["0", "1", "8", "9", "_", " ", "-", "\n", "ø", "!"])
def test_what_is_no_delivery_id_is_refused(letter: str) -> None:
    """A letter that no send id has is a fault of the caller, never another delivery's token."""
    with pytest.raises(ValueError, match=r"delivery id|invalid literal"):
        TOKENS.of(letter + DELIVERY[1:])


def test_the_case_of_a_delivery_id_does_not_count() -> None:
    """Upper and lower case name the same delivery, as base32 has it."""
    assert TOKENS.open_url(DELIVERY.upper()) == TOKENS.open_url(DELIVERY)
