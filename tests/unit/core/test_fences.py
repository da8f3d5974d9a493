from __future__ import annotations

import json
import math
import zoneinfo
from collections.abc import Callable
from typing import Any

import pytest

from gateway.core.fence_features import POSITIONS_MAX, feature_of, parse_collection, parse_feature
from gateway.core.fences import Fence, FenceIndex, ids_and_groups
from gateway.core.shapes import Circle
from gateway.errors import RefusedError

ZONES = frozenset(zoneinfo.available_timezones())
SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
HOLE = [[4, 4], [4, 6], [6, 6], [6, 4], [4, 4]]


def feature(kind: str, coordinates: Any, **properties: Any) -> dict[str, Any]:
    """A GeoJSON Feature named shop-1."""
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "id": "shop-1", "geometry": geometry, "properties": properties}


def fence(kind: str, coordinates: Any, **properties: Any) -> Fence:
    """The same, as a fence."""
    return parse_feature(feature(kind, coordinates, **properties), zones=ZONES)


def found(one: Fence, latitude: float, longitude: float) -> bool:
    """Whether an index of this one fence finds it at a place."""
    return FenceIndex.of([one]).containing(latitude, longitude) == [one]


def refusal(document: Any, route_id: str | None = None) -> RefusedError:
    """What a document is refused with."""
    with pytest.raises(RefusedError) as caught:
        parse_feature(document, route_id, zones=ZONES)
    assert caught.value.reason == "invalid_field"
    return caught.value


# --- shapes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latitude", "longitude", "is_inside"),
    [
        (5, 2, True),
        (5, 5, False),  # in the hole
        (5, 4, True),  # on the border of the hole
        (4, 4, True),  # on a corner of the hole
        (0, 5, True),  # on each border, and on the corners
        (10, 5, True),
        (5, 0, True),
        (5, 10, True),
        (0, 0, True),
        (10, 10, True),
        (4, -1, False),  # level with corners, outside on either side
        (4, 11, False),
        (10, 11, False),
        (0, -0.000001, False),
        (10.000001, 5, False),
    ],
)
def test_a_polygon_covers_its_inside_and_its_borders_but_not_its_holes(
    latitude: float, longitude: float, *, is_inside: bool
) -> None:
    """Borders belong to the fence, those of holes too."""
    assert found(fence("Polygon", [SQUARE, HOLE]), latitude, longitude) is is_inside


def test_a_multipolygon_covers_each_of_its_polygons() -> None:
    """The parts of a fence may lie far apart; between them is outside."""
    away = [[[x + 40, y] for x, y in SQUARE]]
    one = fence("MultiPolygon", [[SQUARE], away])
    assert found(one, 5, 5)
    assert found(one, 5, 45)
    assert not found(one, 5, 25)


def test_a_fence_cut_at_the_antimeridian_covers_both_sides_and_the_line() -> None:
    """180° and -180° are one meridian, whichever part was drawn to it."""
    east = [[[170, -20], [180, -20], [180, -10], [170, -10], [170, -20]]]
    west = [[[-180, -20], [-175, -20], [-175, -10], [-180, -10], [-180, -20]]]
    one = fence("MultiPolygon", [east, west])
    for longitude in (179.9, 180, -180, -179.9):
        assert found(one, -15, longitude)
    assert not found(one, -15, 0)
    assert found(fence("Polygon", east), -15, -180)


@pytest.mark.parametrize("longitude", [180, -180, 179.9995, -179.9995])
def test_a_circle_crosses_the_antimeridian(longitude: float) -> None:
    """A circle near the line is found from both sides of it, and not from across the world."""
    one = fence("Point", [longitude, -17], radius_m=500)
    for near in (179.999, 180, -180, -179.999):
        assert found(one, -17, near)
    assert not found(one, -17, 179.9)
    assert not found(one, -17, 0)


@pytest.mark.parametrize("pole", [90, -90])
def test_a_circle_around_a_pole_is_found_from_every_side(pole: float) -> None:
    """Near a pole a step of some metres is a large step of longitude."""
    one = fence("Point", [20, pole * 0.9999], radius_m=5_000)
    step_deg = math.copysign(0.01, pole)
    for longitude in (-180, -160, -90, 0, 20, 90, 180):
        assert found(one, pole, longitude)
        assert found(one, pole - step_deg, longitude)
        assert not found(one, pole - 10 * step_deg, longitude)


def test_a_circle_near_a_pole_is_wider_than_its_radius_over_the_cosine() -> None:
    """At 89° north 100 km reach 64° to either side, a little nearer to the pole."""
    one = fence("Point", [0, 89], radius_m=100_000)
    for longitude in (60, -60):
        assert found(one, 89.56, longitude)
    for longitude in (70, -70):
        assert not found(one, 89.56, longitude)


def test_a_circle_ends_at_its_radius() -> None:
    """One degree of a great circle is 111,195 m: just inside, just outside, north and east."""
    one = fence("Point", [12, 0], radius_m=1_000)
    edge_deg = 1_000 / 111_195.08
    for inside in (edge_deg * 0.9999, -edge_deg * 0.9999):
        assert found(one, inside, 12)
        assert found(one, 0, 12 + inside)
    for outside in (edge_deg * 1.0001, -edge_deg * 1.0001):
        assert not found(one, outside, 12)
        assert not found(one, 0, 12 + outside)


def test_a_polygon_may_reach_all_around_a_pole() -> None:
    """An area around the south pole, drawn with positions in between, covers the pole."""
    steps = [[longitude, -70] for longitude in range(-180, 181, 90)]
    back = [[longitude, -90] for longitude in range(180, -181, -90)]
    one = fence("Polygon", [[*steps, *back, steps[0]]])
    assert found(one, -80, 135)
    assert found(one, -90, 17)
    assert not found(one, -69, 135)


# --- the index ------------------------------------------------------------------------------


def shop(number: int, radius_m: float = 200.0) -> Fence:
    """A small circle of its own, on a line along a parallel."""
    return Fence(f"shop-{number:05}", Circle(55.0, number / 100, radius_m))


def test_an_index_answers_in_the_order_of_ids_and_each_fence_once() -> None:
    """Fences of very different size are all found; of two with one id the last counts."""
    country = fence("Polygon", [[[-20, 40], [40, 40], [40, 70], [-20, 70], [-20, 40]]])
    index = FenceIndex.of([shop(3), country, shop(2, 900), shop(3, 5_000), shop(9)])
    assert [one.id for one in index.containing(55.0, 0.06)] == ["shop-00003", "shop-1"]
    assert [one.id for one in index.containing(55.0, 0.02)] == [
        "shop-00002",
        "shop-00003",
        "shop-1",
    ]


def test_a_change_makes_another_index() -> None:
    """An index in use by a look-up does not change under it."""
    before = FenceIndex.of([shop(1), shop(2)])
    moved = before.with_fence(Fence("shop-00001", Circle(-30.0, 140.0, 200.0)))
    assert moved.containing(55.0, 0.01) == []
    assert [one.id for one in moved.containing(-30.0, 140.0)] == ["shop-00001"]
    assert before.containing(55.0, 0.01) == [shop(1)]
    assert before.without("shop-00001").containing(55.0, 0.01) == []
    assert before.without("nobody") is before


def test_an_index_emptied_fence_by_fence_keeps_nothing() -> None:
    """What a fence took in the index goes with it."""
    index = FenceIndex.of([shop(1), shop(2, 50_000)])
    for fence_id in list(index.fences):
        index = index.without(fence_id)
    assert index == FenceIndex.of()


def test_no_fence_fills_more_than_four_cells_for_each_box() -> None:
    """A continent costs the index no more than a shop does."""
    continent = fence("Polygon", [[[-20, 30], [60, 30], [60, 75], [-20, 75], [-20, 30]]])
    world = fence("Polygon", [[[-180, -90], [0, -90], [180, -90], [180, 90], [0, 90], [-180, 90],
                               [-180, -90]]])  # fmt: skip
    for one in (continent, world, shop(1, 1.0), shop(1, 100_000.0)):
        assert 1 <= len(FenceIndex.of([one]).cells) <= 4


def test_a_request_may_mean_a_fence_by_its_id_or_by_a_group() -> None:
    """Ids and groups are names of one kind."""
    one = fence("Point", [12, 55], radius_m=50, groups=["copenhagen", "flagships"])
    assert ids_and_groups(one) == {"shop-1", "copenhagen", "flagships"}


# --- GeoJSON --------------------------------------------------------------------------------


def test_a_feature_survives_the_way_there_and_back() -> None:
    """What was taken can be shown again, and read again."""
    documents = [
        feature("Polygon", [SQUARE, HOLE]),
        feature("MultiPolygon", [[SQUARE, HOLE]], groups=["a", "b"]),
        feature(
            "Point",
            [12.57, 55.68],
            name="Vesterbro",
            timezone="Europe/Copenhagen",
            radius_m=150.5,
            opening_hours={
                "mon": [["09:00", "12:30"], ["22:00", "02:00"]],
                "sun": [["00:00", "24:00"]],
            },
        ),
    ]
    for document in documents:
        written = feature_of(parse_feature(document, zones=ZONES))
        assert json.loads(json.dumps(written)) == document


def test_altitude_and_members_that_the_contract_does_not_name_are_left_out() -> None:
    """Files from other tools carry more than a fence needs."""
    document = feature("Point", [12, 55, 30.5], radius_m=50, stroke="#ff0000")
    document["bbox"] = [0, 0, 1, 1]
    assert feature_of(parse_feature(document, zones=ZONES)) == feature(
        "Point", [12, 55], radius_m=50
    )


def test_the_id_is_that_of_the_route() -> None:
    """A document says the id of its address, or none; any other is refused."""
    document = feature("Point", [12, 55], radius_m=50)
    assert parse_feature(document, "shop-1", zones=ZONES).id == "shop-1"
    assert refusal(document, "shop-2").path == "$.id"
    del document["id"]
    assert parse_feature(document, "shop-2", zones=ZONES).id == "shop-2"
    assert refusal(document).what == "is required"


def without(*names: str) -> Callable[[dict[str, Any]], None]:
    """An edit that takes a member out."""

    def edit(document: dict[str, Any]) -> None:
        owner = document
        for name in names[:-1]:
            owner = owner[name]
        del owner[names[-1]]

    return edit


def having(value: Any, *names: Any) -> Callable[[dict[str, Any]], None]:
    """An edit that sets a member."""

    def edit(document: dict[str, Any]) -> None:
        owner: Any = document
        for name in names[:-1]:
            owner = owner[name]
        owner[names[-1]] = value

    return edit


COORDINATES = ("geometry", "coordinates")
HOURS = ("properties", "opening_hours")
FAULTS = [
    (having("Point", "type"), "$.type"),
    (without("type"), "$.type"),
    (having("", "id"), "$.id"),
    (having("x" * 129, "id"), "$.id"),
    (having("a\0b", "id"), "$.id"),
    (having(7, "id"), "$.id"),
    (without("geometry"), "$.geometry"),
    (having(None, "geometry"), "$.geometry"),
    (having([], "geometry"), "$.geometry"),
    (having("LineString", "geometry", "type"), "$.geometry.type"),
    (without("geometry", "type"), "$.geometry.type"),
    (having(["Polygon"], "geometry", "type"), "$.geometry.type"),
    (without(*COORDINATES), "$.geometry.coordinates"),
    (having([], *COORDINATES), "$.geometry.coordinates"),
    (having(SQUARE[:3], *COORDINATES, 0), "$.geometry.coordinates[0]"),
    (having(SQUARE[:4], *COORDINATES, 0), "$.geometry.coordinates[0]"),
    (having([[0, 0], [1, 1], [2, 2], [0, 0]], *COORDINATES, 0), "$.geometry.coordinates[0]"),
    (having([[5, 5]] * 4, *COORDINATES, 0), "$.geometry.coordinates[0]"),
    (having("5", *COORDINATES, 0, 1), "$.geometry.coordinates[0][1]"),
    (having([True, 5], *COORDINATES, 0, 1), "$.geometry.coordinates[0][1]"),
    (having([5], *COORDINATES, 0, 1), "$.geometry.coordinates[0][1]"),
    (having([5, 5, 5, 5], *COORDINATES, 0, 1), "$.geometry.coordinates[0][1]"),
    (having([180.5, 5], *COORDINATES, 0, 1), "$.geometry.coordinates[0][1][0]"),
    (having([5, -91], *COORDINATES, 0, 1), "$.geometry.coordinates[0][1][1]"),
    (having([math.nan, 5], *COORDINATES, 0, 1), "$.geometry.coordinates[0][1][0]"),
    (having([5, math.inf], *COORDINATES, 0, 1), "$.geometry.coordinates[0][1][1]"),
    (having([10**400, 5], *COORDINATES, 0, 1), "$.geometry.coordinates[0][1][0]"),
    (having("shop", "properties"), "$.properties"),
    (having("", "properties", "name"), "$.properties.name"),
    (having("city", "properties", "groups"), "$.properties.groups"),
    (having(["city", ""], "properties", "groups"), "$.properties.groups[1]"),
    (having(["x"] * 101, "properties", "groups"), "$.properties.groups"),
    (having("Europe/Atlantis", "properties", "timezone"), "$.properties.timezone"),
    (having(["UTC"], "properties", "timezone"), "$.properties.timezone"),
    (having([], *HOURS), "$.properties.opening_hours"),
    (having({"monday": []}, *HOURS), "$.properties.opening_hours.monday"),
    (having({"mon": ["09:00", "18:00"]}, *HOURS), "$.properties.opening_hours.mon[0]"),
    (having({"mon": [["09:00"]]}, *HOURS), "$.properties.opening_hours.mon[0]"),
    (having({"mon": [["9:00", "18:00"]]}, *HOURS), "$.properties.opening_hours.mon[0][0]"),
    (having({"mon": [["09:00", "18:60"]]}, *HOURS), "$.properties.opening_hours.mon[0][1]"),
    (having({"mon": [["09:00", "24:01"]]}, *HOURS), "$.properties.opening_hours.mon[0][1]"),
    (having({"mon": [["09:00", "18:00\n"]]}, *HOURS), "$.properties.opening_hours.mon[0][1]"),
    (having({"mon": [["09:00", 18]]}, *HOURS), "$.properties.opening_hours.mon[0][1]"),
    (having({"mon": [["24:00", "08:00"]]}, *HOURS), "$.properties.opening_hours.mon[0][0]"),
    (having({"tue": [], "mon": [["09:00", "09:00"]]}, *HOURS), "$.properties.opening_hours.mon[0]"),
    (having({"mon": [["09:00", "18:00"]] * 25}, *HOURS), "$.properties.opening_hours.mon"),
]


@pytest.mark.parametrize(("edit", "path"), FAULTS)
def test_the_first_fault_is_named_by_its_path(
    edit: Callable[[dict[str, Any]], None], path: str
) -> None:
    """A right document with one fault is refused at that fault."""
    document = json.loads(json.dumps(feature("Polygon", [SQUARE])))
    parse_feature(document, zones=ZONES)
    edit(document)
    assert refusal(document).path == path


@pytest.mark.parametrize("radius_m", [None, 0, -5, 100_001, "50", True, math.nan, math.inf])
def test_a_point_needs_a_radius_that_a_person_can_be_in(radius_m: Any) -> None:
    """More than 100 km is not a place, and nought is not one either."""
    fault = refusal(feature("Point", [12, 55], radius_m=radius_m))
    assert fault.path == "$.properties.radius_m"


def test_an_edge_around_half_the_world_is_refused_with_advice() -> None:
    """A box from 170° to -170° could be meant either way: it says how to be clear."""
    ring = [[170, 0], [-170, 0], [-170, 10], [170, 10], [170, 0]]
    fault = refusal(feature("Polygon", [ring]))
    assert fault.path == "$.geometry.coordinates[0][1]"
    assert "MultiPolygon" in fault.what


def test_a_shape_is_bounded_in_size() -> None:
    """Ten thousand positions are taken, one more is not."""
    around = [
        [10 * math.cos(turn / 5_000 * math.pi), 10 * math.sin(turn / 5_000 * math.pi)]
        for turn in range(POSITIONS_MAX - 1)
    ]
    assert found(fence("Polygon", [[*around, around[0]]]), 3, 4)
    more = [*around, [10, -0.001], around[0]]
    assert refusal(feature("Polygon", [more])).path == "$.geometry.coordinates"


def test_a_collection_names_the_feature_at_fault_and_refuses_an_id_twice() -> None:
    """A file of fences is read whole or refused with one path."""
    one, other = feature("Point", [1, 1], radius_m=5), feature("Point", [2, 2], radius_m=5)
    other["id"] = "shop-2"
    document = {"type": "FeatureCollection", "features": [one, other]}
    assert [each.id for each in parse_collection(document, zones=ZONES)] == ["shop-1", "shop-2"]
    for edit, path in (
        (having("shop-1", "features", 1, "id"), "$.features[1].id"),
        (having(0, "features", 1, "properties", "radius_m"), "$.features[1].properties.radius_m"),
        (having("Feature", "type"), "$.type"),
        (having({}, "features"), "$.features"),
    ):
        edited = json.loads(json.dumps(document))
        edit(edited)
        with pytest.raises(RefusedError) as caught:
            parse_collection(edited, zones=ZONES)
        assert caught.value.path == path
