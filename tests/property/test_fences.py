from __future__ import annotations

import json
import math
import zoneinfo
from contextlib import suppress
from typing import Any

import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.core.fence_features import feature_of, parse_feature
from gateway.core.fences import Fence, FenceIndex
from gateway.core.shapes import EARTH_RADIUS_M, Area, Circle, Ring, covers, distance_m, polygon
from gateway.errors import RefusedError

ZONES = frozenset(zoneinfo.available_timezones())
Position = tuple[float, float]

# Around the edges of the map and in its middle, where cells, poles and the antimeridian meet.
latitudes = st.one_of(
    st.floats(-90, 90), st.sampled_from([-90.0, 90.0, 0.0, 89.9999999, -89.99, 45.0])
)
longitudes = st.one_of(
    st.floats(-180, 180), st.sampled_from([-180.0, 180.0, 0.0, 179.9999, -179.9999999, 90.0])
)
places = st.tuples(latitudes, longitudes)
circles = st.builds(
    Circle, latitudes, longitudes, st.one_of(st.floats(0.1, 100_000), st.just(100_000.0))
)


@st.composite
def stars(draw: st.DrawFn) -> tuple[list[Position], list[list[Position]]]:
    """A simple ring around a middle on whole degrees, and perhaps a small one as its hole."""
    middle = (draw(st.integers(-150, 150)), draw(st.integers(-60, 60)))
    corners = draw(
        st.lists(
            st.tuples(st.integers(-25, 25), st.integers(-25, 25)).filter(lambda xy: xy != (0, 0)),
            min_size=3,
            max_size=14,
            unique_by=lambda xy: math.atan2(xy[1], xy[0]),
        )
    )
    corners.sort(key=lambda xy: math.atan2(xy[1], xy[0]))
    around = [(middle[0] + x, middle[1] + y) for x, y in corners]
    hole = [(middle[0] + x, middle[1] + y) for x, y in ((-1, -1), (1, -1), (0, 1), (-1, -1))]
    return [*around, around[0]], draw(st.sampled_from([[], [hole]]))


def _ring(positions: list[Position]) -> Ring:
    return Ring(tuple(float(x) for x, _ in positions), tuple(float(y) for _, y in positions))


def _both(star: tuple[list[Position], list[list[Position]]]) -> tuple[Area, shapely.Polygon]:
    outer, holes = star
    theirs = shapely.Polygon(outer, holes)
    assume(theirs.is_valid)
    return Area((polygon(_ring(outer), tuple(map(_ring, holes))),), "Polygon"), theirs


@settings(deadline=None)
@given(stars())
def test_whole_degrees_are_inside_where_shapely_says_so(
    star: tuple[list[Position], list[list[Position]]],
) -> None:
    """On whole numbers both are exact, so corners and borders are compared too."""
    ours, theirs = _both(star)
    west, south, east, north = (int(limit) for limit in theirs.bounds)
    for x in range(west - 1, east + 2):
        for y in range(south - 1, north + 2):
            assert covers(ours, y, x) is bool(theirs.covers(shapely.Point(x, y))), (x, y)


@settings(deadline=None)
@given(stars(), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
def test_places_off_the_border_are_inside_where_shapely_says_so(
    star: tuple[list[Position], list[list[Position]]], shares: list[Position]
) -> None:
    """Any place in the box, unless rounding alone would decide."""
    ours, theirs = _both(star)
    west, south, east, north = theirs.bounds
    for share_x, share_y in shares:
        place = shapely.Point(west + share_x * (east - west), south + share_y * (north - south))
        if theirs.boundary.distance(place) > 1e-9:
            assert covers(ours, place.y, place.x) is bool(theirs.covers(place))


@settings(deadline=None)
@given(places, places)
def test_distance_is_the_angle_between_two_directions(one: Position, other: Position) -> None:
    """An independent way: the angle between vectors from the middle of the earth."""

    def direction(place: Position) -> tuple[float, float, float]:
        north, east = math.radians(place[0]), math.radians(place[1])
        return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)

    a, b = direction(one), direction(other)
    across = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    angle = math.atan2(math.hypot(*across), sum(x * y for x, y in zip(a, b, strict=True)))
    assert math.isclose(distance_m(one, other), angle * EARTH_RADIUS_M, abs_tol=0.5)


@st.composite
def fences(draw: st.DrawFn) -> list[Fence]:
    """A few circles and areas of every size, anywhere."""
    areas = stars().map(lambda star: _both(star)[0])
    shapes = draw(st.lists(st.one_of(circles, circles, areas), min_size=1, max_size=12))
    return [Fence(f"fence-{number}", shape) for number, shape in enumerate(shapes)]


@st.composite
def places_near(draw: st.DrawFn, near: list[Fence]) -> Position:
    """A place about as far from some circle as its radius, or anywhere."""
    middles = [one.shape for one in near if isinstance(one.shape, Circle)]
    if not middles or draw(st.booleans()):
        return draw(places)
    circle = draw(st.sampled_from(middles))
    return _moved(circle, draw(st.floats(0, 2 * math.pi)), draw(st.sampled_from([0.0, 0.5, 1.0])))


def _moved(circle: Circle, bearing: float, share: float) -> Position:
    """The place at a share of the radius in a direction, along the sphere."""
    angle = share * circle.radius_m / EARTH_RADIUS_M
    north, east = math.radians(circle.latitude), math.radians(circle.longitude)
    sine = math.sin(north) * math.cos(angle) + math.cos(north) * math.sin(angle) * math.cos(bearing)
    turned = math.atan2(
        math.sin(bearing) * math.sin(angle) * math.cos(north),
        math.cos(angle) - math.sin(north) * sine,
    )
    longitude = math.remainder(math.degrees(east + turned), 360.0)
    return math.degrees(math.asin(max(-1.0, min(1.0, sine)))), longitude


@settings(deadline=None)
@given(st.data())
def test_the_index_finds_what_looking_at_every_fence_finds(data: st.DataObject) -> None:
    """Poles, antimeridian, borders of cells, sizes from centimetres to continents."""
    every = data.draw(fences())
    index = FenceIndex.of(every)
    for _ in range(5):
        latitude, longitude = data.draw(places_near(every))
        expected = {one.id for one in every if covers(one.shape, latitude, longitude)}
        assert {one.id for one in index.containing(latitude, longitude)} == expected


@settings(deadline=None)
@given(circles, st.floats(0, 2 * math.pi), st.sampled_from([0.0, 0.3, 0.999999]))
def test_every_place_in_a_circle_is_found(circle: Circle, bearing: float, share: float) -> None:
    """Walking less than the radius in any direction stays inside, across poles and lines too."""
    latitude, longitude = _moved(circle, bearing, share)
    assume(share < 0.9 or circle.radius_m > 1_000)  # rounding is of centimetres
    assert FenceIndex.of([Fence("here", circle)]).containing(latitude, longitude)


@settings(deadline=None)
@given(fences(), st.lists(st.tuples(st.integers(0, 11), circles, st.booleans()), max_size=10))
def test_an_index_that_was_changed_is_the_index_built_anew(
    start: list[Fence], changes: list[tuple[int, Circle, bool]]
) -> None:
    """Adding, replacing and removing leave no trace of what was."""
    index, expected = FenceIndex.of(start), {one.id: one for one in start}
    for number, circle, is_added in changes:
        fence_id = f"fence-{number}"
        if is_added:
            expected[fence_id] = Fence(fence_id, circle)
            index = index.with_fence(expected[fence_id])
        else:
            expected.pop(fence_id, None)
            index = index.without(fence_id)
    anew = FenceIndex.of(expected.values())
    assert (index.fences, index.levels) == (anew.fences, anew.levels)
    assert _cells(index) == _cells(anew)


def _cells(index: FenceIndex) -> dict[int, list[str]]:
    return {cell: sorted(one.id for _, one in there) for cell, there in index.cells.items()}


@settings(deadline=None)
@given(fences())
def test_a_fence_survives_json(some: list[Fence]) -> None:
    """Written, sent and read again, a fence is the same to the last bit."""
    for one in some:
        assert parse_feature(json.loads(json.dumps(feature_of(one))), zones=ZONES) == one


names = st.sampled_from(
    ["type", "id", "geometry", "coordinates", "properties", "radius_m", "groups", "opening_hours",
     "timezone", "mon", "Feature", "Point", "Polygon", "MultiPolygon", "09:00", "24:00", "UTC"]
)  # fmt: skip
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | names,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(names, inner, max_size=6),
    max_leaves=30,
)


@settings(deadline=None)
@given(anything, st.sampled_from(["geometry", "properties", "coordinates", "opening_hours", ""]))
def test_no_document_does_anything_but_parse_or_be_refused(value: Any, place: str) -> None:
    """Whatever JSON says, the answer is a fence that can be written, or a refusal."""
    document: Any = {
        "type": "Feature",
        "id": "shop-1",
        "geometry": {"type": "Point", "coordinates": [1, 2]},
        "properties": {"radius_m": 5},
    }
    if place in ("geometry", "properties"):
        document[place] = value
    elif place == "coordinates":
        document["geometry"] = {"type": "Polygon", "coordinates": value}
    elif place:
        document["properties"][place] = value
    else:
        document = value
    with suppress(RefusedError):
        one = parse_feature(document, zones=ZONES)
        assert parse_feature(feature_of(one), zones=ZONES) == one
