"""Fences as GeoJSON: reads a Feature (RFC 7946) or names its first fault, and writes it back.

Invariant: `parse_feature(feature_of(fence))` is the fence again, and a document that is taken is a
shape that can be matched: finite, closed, in range, bounded in size. Members that the contract does
not name are left out, as with events; whether the bytes are JSON is asked before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn
from zoneinfo import ZoneInfo

import msgspec

from gateway.core import json_values
from gateway.core.fences import Fence
from gateway.core.json_values import step
from gateway.core.opening import DAY_MIN, DAYS, OpeningHours, Span, opening_hours
from gateway.core.shapes import Area, Circle, Polygon, Ring, Shape, has_area, polygon
from gateway.errors import RefusedError

NAME_MAX: Final = 128
TITLE_MAX: Final = 256
GROUPS_MAX: Final = 100
SPANS_MAX: Final = 24
POSITIONS_MAX: Final = 10_000
RING_MIN: Final = 4
RADIUS_M_MAX: Final = 100_000

# An edge over more than half the map cannot be told from one the other way round.
EDGE_DEG_MAX: Final = 180.0
_NOT_A_NAME: Final = f"is not a string of 1 to {NAME_MAX} characters, none of them null"
_NOT_A_TITLE: Final = f"is not a string of 1 to {TITLE_MAX} characters, none of them null"
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")


def parse_feature(
    document: object, route_id: str | None = None, *, zones: frozenset[str], at: str = "$"
) -> Fence:
    """One fence from a GeoJSON Feature; raises `RefusedError` (`invalid_field`) with the JSON path.

    `route_id` is the id in the address of the call: the document says the same or nothing.
    `zones` are the IANA names that this machine knows; `at` is where the document stands.
    """
    feature = _object(document, at)
    _check_type(feature, "Feature", at)
    fence_id = _id(feature, route_id, at)
    properties = _properties(feature, at)
    shape = _shape(feature, properties, at)
    where = step(at, "properties")
    zone = _zone(properties, zones, where)
    return Fence(
        id=fence_id,
        shape=shape,
        name=_title(properties, where),
        groups=_groups(properties, where),
        timezone=zone,
        hours=_hours(properties, zone, where),
    )


def read_feature(text: bytes, route_id: str | None = None, *, zones: frozenset[str]) -> Fence:
    """One fence from the JSON text of a Feature. Raises as `parse_feature`."""
    return parse_feature(json_values.read(text), route_id, zones=zones)


def read_collection(text: bytes, *, zones: frozenset[str]) -> list[Fence]:
    """The fences of the JSON text of a FeatureCollection. Raises as `parse_feature`."""
    return parse_collection(json_values.read(text), zones=zones)


def write_feature(fence: Fence) -> bytes:
    """A fence as the JSON text of its Feature."""
    return msgspec.json.encode(feature_of(fence))


def parse_collection(document: object, *, zones: frozenset[str]) -> list[Fence]:
    """Fences from a GeoJSON FeatureCollection, no two with one id; raises as `parse_feature`."""
    collection = _object(document, "$")
    _check_type(collection, "FeatureCollection", "$")
    fences: dict[str, Fence] = {}
    for number, feature in enumerate(_list(_member(collection, "features", "$"), "$.features")):
        at = step("$.features", number)
        fence = parse_feature(feature, zones=zones, at=at)
        if fence.id in fences:
            _refuse(step(at, "id"), "is the id of an earlier feature")
        fences[fence.id] = fence
    return list(fences.values())


def feature_of(fence: Fence) -> dict[str, Any]:
    """The fence as JSON values of a GeoJSON Feature; properties that are not set are left out."""
    properties: dict[str, Any] = {}
    if fence.name is not None:
        properties["name"] = fence.name
    if fence.groups:
        properties["groups"] = list(fence.groups)
    if fence.timezone is not None:
        properties["timezone"] = fence.timezone
    if fence.hours is not None:
        properties["opening_hours"] = _written_hours(fence.hours)
    if isinstance(fence.shape, Circle):
        properties["radius_m"] = fence.shape.radius_m
    geometry = _written_shape(fence.shape)
    return {"type": "Feature", "id": fence.id, "geometry": geometry, "properties": properties}


# --- shapes ---------------------------------------------------------------------------------


def _shape(feature: Mapping[str, Any], properties: Mapping[str, Any], at: str) -> Shape:
    where = step(at, "geometry")
    geometry = _object(_member(feature, "geometry", at), where)
    kind = _member(geometry, "type", where)
    if kind not in ("Point", "Polygon", "MultiPolygon"):
        _refuse(step(where, "type"), "is not Point, Polygon or MultiPolygon")
    coordinates = _member(geometry, "coordinates", where)
    where = step(where, "coordinates")
    if kind == "Point":
        longitude, latitude = _position(coordinates, where)
        return Circle(latitude, longitude, _radius_m(properties, step(at, "properties")))
    listed = _list(coordinates, where)
    if kind == "Polygon":
        area = Area((_polygon(listed, where),), "Polygon")
    else:
        polygons = [_polygon(one, step(where, i)) for i, one in enumerate(listed)]
        area = Area(tuple(polygons), "MultiPolygon")
    _check_size(area, where)
    return area


def _check_size(area: Area, where: str) -> None:
    rings = [ring for one in area.polygons for ring in (one.outer, *one.holes)]
    if not rings:
        _refuse(where, "is empty")
    if sum(len(ring.latitudes) for ring in rings) > POSITIONS_MAX:
        _refuse(where, f"has more than {POSITIONS_MAX} positions")


def _radius_m(properties: Mapping[str, Any], where: str) -> float:
    radius_m = properties.get("radius_m")
    where = step(where, "radius_m")
    if radius_m is None:
        _refuse(where, "is required for a Point")
    if not _is_number(radius_m) or not 0 < radius_m <= RADIUS_M_MAX:
        _refuse(where, f"is not a number of metres above 0 and up to {RADIUS_M_MAX}")
    return float(radius_m)


def _polygon(value: object, where: str) -> Polygon:
    rings = [_ring(one, step(where, number)) for number, one in enumerate(_list(value, where))]
    if not rings:
        _refuse(where, "has no ring")
    return polygon(rings[0], tuple(rings[1:]))


def _ring(value: object, where: str) -> Ring:
    listed = _list(value, where)
    if len(listed) < RING_MIN:
        _refuse(where, f"has fewer than {RING_MIN} positions")
    positions = [_position(one, step(where, number)) for number, one in enumerate(listed)]
    if positions[0] != positions[-1]:
        _refuse(where, "is not closed: the last position is not the first one")
    longitudes, latitudes = zip(*positions, strict=True)
    ring = Ring(longitudes, latitudes)
    _check_edges(ring, where)
    if not has_area(ring):
        _refuse(where, "encloses nothing")
    return ring


def _check_edges(ring: Ring, where: str) -> None:
    edges = zip(ring.longitudes, ring.longitudes[1:], strict=False)
    for number, (here, there) in enumerate(edges, 1):
        if abs(there - here) > EDGE_DEG_MAX:
            _refuse(
                step(where, number),
                "is more than 180° of longitude from the position before; cut what crosses the"
                " antimeridian there, into a MultiPolygon (RFC 7946, 3.1.9)",
            )


def _position(value: object, where: str) -> tuple[float, float]:
    listed = _list(value, where)
    # A third number is the altitude, which says nothing about a fence.
    if len(listed) not in (2, 3) or not all(_is_number(one) for one in listed):
        _refuse(where, "is not a position: two numbers, longitude and latitude")
    for axis, limit, name in ((0, 180, "longitude"), (1, 90, "latitude")):
        if not -limit <= listed[axis] <= limit:
            _refuse(step(where, axis), f"is not a {name} of -{limit} to {limit}")
    return float(listed[0]), float(listed[1])


def _written_shape(shape: Shape) -> dict[str, Any]:
    if isinstance(shape, Circle):
        return {"type": "Point", "coordinates": [shape.longitude, shape.latitude]}
    polygons = [[_written_ring(ring) for ring in (one.outer, *one.holes)] for one in shape.polygons]
    is_single = shape.kind == "Polygon"
    return {"type": shape.kind, "coordinates": polygons[0] if is_single else polygons}


def _written_ring(ring: Ring) -> list[list[float]]:
    return [list(position) for position in zip(ring.longitudes, ring.latitudes, strict=True)]


# --- properties -----------------------------------------------------------------------------


def _id(feature: Mapping[str, Any], route_id: str | None, at: str) -> str:
    fence_id = feature.get("id")
    if fence_id is None:
        fence_id = _member(feature, "id", at) if route_id is None else route_id
    where = step(at, "id")
    if not _is_text(fence_id, NAME_MAX):
        _refuse(where, _NOT_A_NAME)
    if route_id is not None and fence_id != route_id:
        _refuse(where, "is not the id in the address")
    return str(fence_id)


def _properties(feature: Mapping[str, Any], at: str) -> Mapping[str, Any]:
    properties = feature.get("properties")
    return {} if properties is None else _object(properties, step(at, "properties"))


def _title(properties: Mapping[str, Any], where: str) -> str | None:
    title = properties.get("name")
    if title is not None and not _is_text(title, TITLE_MAX):
        _refuse(step(where, "name"), _NOT_A_TITLE)
    return title


def _groups(properties: Mapping[str, Any], where: str) -> tuple[str, ...]:
    value = properties.get("groups")
    if value is None:
        return ()
    where = step(where, "groups")
    groups = _list(value, where)
    if len(groups) > GROUPS_MAX:
        _refuse(where, f"has more than {GROUPS_MAX} names")
    for number, group in enumerate(groups):
        if not _is_text(group, NAME_MAX):
            _refuse(step(where, number), _NOT_A_NAME)
    return tuple(dict.fromkeys(groups))


def _zone(properties: Mapping[str, Any], zones: frozenset[str], where: str) -> str | None:
    zone = properties.get("timezone")
    if zone is not None and not (isinstance(zone, str) and zone in zones):
        _refuse(step(where, "timezone"), "is not a time zone")
    return zone


def _hours(properties: Mapping[str, Any], zone: str | None, where: str) -> OpeningHours | None:
    value = properties.get("opening_hours")
    if value is None:
        return None
    where = step(where, "opening_hours")
    days = _object(value, where)
    for day in days:
        if day not in DAYS:
            _refuse(step(where, day), f"is not one of {', '.join(DAYS)}")
    return opening_hours(
        ZoneInfo(zone or "UTC"),
        {day: _spans(spans, step(where, day)) for day, spans in days.items()},
    )


def _spans(value: object, where: str) -> list[Span]:
    listed = _list(value, where)
    if len(listed) > SPANS_MAX:
        _refuse(where, f"has more than {SPANS_MAX} spans")
    return [_span(one, step(where, number)) for number, one in enumerate(listed)]


def _span(value: object, where: str) -> Span:
    listed = _list(value, where)
    if len(listed) != len(("opens", "closes")):
        _refuse(where, "is not a pair of times, opening and closing")
    opens, closes = (_minute(one, step(where, number)) for number, one in enumerate(listed))
    if opens == DAY_MIN:
        _refuse(step(where, 0), "is not a time to open at; the day after starts at 00:00")
    if opens == closes:
        _refuse(where, "is empty; a whole day is 00:00 to 24:00")
    return opens, closes


def _minute(value: object, where: str) -> int:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        _refuse(where, "is not a time of 00:00 to 24:00")
    hour, minute = found.groups()
    return DAY_MIN if hour is None else int(hour) * 60 + int(minute)


def _written_hours(hours: OpeningHours) -> dict[str, list[list[str]]]:
    return {
        day: [[_written_minute(minute) for minute in span] for span in spans]
        for day, spans in zip(DAYS, hours.week, strict=True)
        if spans
    }


def _written_minute(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


# --- JSON values ----------------------------------------------------------------------------


def _refuse(path: str, what: str) -> NoReturn:
    raise RefusedError("invalid_field", path, what)


def _member(owner: Mapping[str, Any], name: str, at: str) -> Any:
    if owner.get(name) is None:
        _refuse(step(at, name), "is required")
    return owner[name]


def _check_type(owner: Mapping[str, Any], kind: str, at: str) -> None:
    if _member(owner, "type", at) != kind:
        _refuse(step(at, "type"), f"is not {kind}")


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        _refuse(where, "is not an object")
    return value


def _list(value: object, where: str) -> Sequence[Any]:
    if not isinstance(value, list):
        _refuse(where, "is not a list")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_text(value: object, length_max: int) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= length_max and "\0" not in value
