"""Reads the policy, the national rules and the map of zones, once, at start.

Invariant: a mistake in somebody's file is told in one line that names `WINBACK_POLICY__FILE`, the
file and the key; nothing is half read. What the tables mean is decided in the core.
"""

from __future__ import annotations

import zoneinfo
from importlib import resources
from pathlib import Path
from typing import Final

from gateway.core.fence_features import read_collection
from gateway.core.fences import Fence
from gateway.core.laws import Laws, parse_laws
from gateway.core.offers import OfferTable
from gateway.core.offers import parse as parse_offers
from gateway.core.places import Atlas, atlas_of
from gateway.core.policy import Policy, parse
from gateway.core.quiet import QuietRules
from gateway.core.toml_tables import TomlFault
from gateway.errors import RefusedError, SettingsError
from gateway.settings import Settings

VARIABLE: Final = "WINBACK_POLICY__FILE"
FILE_BYTES_MAX: Final = 1 << 20


def load_policy(file: Path | None) -> Policy:
    """The policy of a file over the packaged one; only the packaged one without a file.

    Raises SettingsError.
    """
    packaged = _packaged("policy.toml")
    if file is None:
        return parse("", packaged)
    try:
        return parse(_text(file), packaged)
    except TomlFault as error:
        what = " ".join(str(error).split())
        raise SettingsError(f"{VARIABLE}: {file}: {what}") from error


def load_laws() -> Laws:
    """The packaged table of national rules."""
    return parse_laws(_packaged("jurisdictions.toml"))


def load_atlas() -> Atlas:
    """The zones of the world: countries from the tzdata package, clocks as Python finds them."""
    zone_tab = resources.files("tzdata.zoneinfo").joinpath("zone.tab").read_text("utf-8")
    return atlas_of(zone_tab, zoneinfo.available_timezones(), zoneinfo.ZoneInfo)


def quiet_rules(policy: Policy, atlas: Atlas) -> QuietRules:
    """The quiet hours of a policy, with the packaged laws."""
    return QuietRules(policy.quiet, load_laws(), atlas)


def load_offers() -> OfferTable:
    """The packaged table of which offer follows which reason."""
    return parse_offers(_packaged("offers.toml"))


def fences_of(settings: Settings) -> list[Fence]:
    """The fences of WINBACK_GEO__FENCES_FILE. Raises SettingsError."""
    file = settings.geo.fences_file
    if file is None:
        return []
    zones = frozenset(zoneinfo.available_timezones())
    try:
        return read_collection(file.read_bytes(), zones=zones)
    except OSError as error:
        raise SettingsError(f"WINBACK_GEO__FENCES_FILE: {file}: {error.strerror}") from error
    except RefusedError as error:
        raise SettingsError(f"WINBACK_GEO__FENCES_FILE: {file}: {error}") from error


def _packaged(name: str) -> str:
    return resources.files("gateway").joinpath(name).read_text("utf-8")


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise SettingsError(f"{VARIABLE}: {file}: is larger than {FILE_BYTES_MAX} bytes")
        return file.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{VARIABLE}: {file}: is not UTF-8 text") from error
    except OSError as error:
        raise SettingsError(f"{VARIABLE}: {file}: cannot be read: {error.strerror}") from error
