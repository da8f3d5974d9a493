"""Shapes on the map: circles and areas, whether one covers a place, and the boxes around it.

Invariant: whatever a shape covers lies in one of its boxes. A border belongs to its shape, that of
a hole too. Edges are straight lines of longitude and latitude, as RFC 7946 draws them; circles are
measured along the sphere, which is within 0.6 % of the ellipsoid. At a pole itself an area covers
only the meridians that it was drawn with. Knows nothing of fences.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

EARTH_RADIUS_M: Final = 6_371_008.8
_HALF_CIRCUMFERENCE_DEG: Final = 180.0

# About a tenth of a millimetre: what rounding may take from a circle's box.
_SLACK_DEG: Final = 1e-9
# So near to a pole the arcsine of the width says nothing any more: the box goes all around.
_POLAR_DEG: Final = 89.999999


@dataclass(frozen=True, slots=True)
class Box:
    """Degrees, with west <= east: a box never crosses the antimeridian."""

    south: float
    west: float
    north: float
    east: float

    def covers(self, latitude: float, longitude: float) -> bool:
        """Whether the place is inside or on the border."""
        return self.south <= latitude <= self.north and self.west <= longitude <= self.east


@dataclass(frozen=True, slots=True)
class Ring:
    """A closed line: the first position comes again as the last."""

    longitudes: tuple[float, ...]
    latitudes: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Polygon:
    """One outer ring without its holes; `box` is around the outer ring."""

    outer: Ring
    holes: tuple[Ring, ...]
    box: Box


@dataclass(frozen=True, slots=True)
class Area:
    """One or many polygons; `kind` is how GeoJSON calls them."""

    polygons: tuple[Polygon, ...]
    kind: Literal["Polygon", "MultiPolygon"]


@dataclass(frozen=True, slots=True)
class Circle:
    """All places at most `radius_m` metres from the middle, which has degrees."""

    latitude: float
    longitude: float
    radius_m: float


Shape = Circle | Area


def polygon(outer: Ring, holes: tuple[Ring, ...] = ()) -> Polygon:
    """A polygon with the box around it."""
    box = Box(
        min(outer.latitudes), min(outer.longitudes), max(outer.latitudes), max(outer.longitudes)
    )
    return Polygon(outer, holes, box)


def covers(shape: Shape, latitude: float, longitude: float) -> bool:
    """Whether the shape covers the place, given in degrees; both names of 180° are one meridian."""
    if isinstance(shape, Circle):
        middle = (shape.latitude, shape.longitude)
        return distance_m(middle, (latitude, longitude)) <= shape.radius_m
    return any(
        _polygon_covers(one, latitude, name)
        for name in meridian_names(longitude)
        for one in shape.polygons
    )


def boxes(shape: Shape) -> tuple[Box, ...]:
    """Boxes that hold all that the shape covers; one that crosses the antimeridian is cut there."""
    if isinstance(shape, Circle):
        return tuple(_circle_boxes(shape))
    return tuple(one.box for one in shape.polygons)


def meridian_names(longitude: float) -> tuple[float, ...]:
    """The meridian opposite Greenwich is both 180° and -180°; every other one has one name."""
    return (longitude,) if abs(longitude) < _HALF_CIRCUMFERENCE_DEG else (180.0, -180.0)


def distance_m(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Metres along the sphere between two places, each latitude and longitude in degrees."""
    north_1, north_2 = math.radians(one[0]), math.radians(other[0])
    half_north = math.sin((north_2 - north_1) / 2)
    half_east = math.sin(math.radians(other[1] - one[1]) / 2)
    chord = half_north * half_north + math.cos(north_1) * math.cos(north_2) * half_east * half_east
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(chord)))


def has_area(ring: Ring) -> bool:
    """Whether a ring goes around something, rather than there and back."""
    x_0, y_0 = ring.longitudes[0], ring.latitudes[0]
    doubled = math.fsum(
        (x_1 - x_0) * (y_2 - y_0) - (x_2 - x_0) * (y_1 - y_0) for x_1, y_1, x_2, y_2 in _edges(ring)
    )
    return doubled != 0.0


def _polygon_covers(one: Polygon, latitude: float, longitude: float) -> bool:
    if not one.box.covers(latitude, longitude):
        return False
    side = _side(one.outer, latitude, longitude)
    if side <= 0:
        return side == 0
    return all(_side(hole, latitude, longitude) <= 0 for hole in one.holes)


def _side(ring: Ring, latitude: float, longitude: float) -> int:
    """Where a place is: 1 inside the ring, 0 on its line, -1 outside.

    A ray goes east and counts the edges it crosses. An edge owns its lower end and not its upper
    one, so a corner is counted once; a place on a corner or on a level edge is seen separately.
    """
    is_inside = False
    for x_1, y_1, x_2, y_2 in _edges(ring):
        if (y_1 > latitude) != (y_2 > latitude):
            turn = (x_2 - x_1) * (latitude - y_1) - (longitude - x_1) * (y_2 - y_1)
            if turn == 0.0:
                return 0
            is_inside ^= (turn > 0.0) == (y_2 > y_1)
        elif y_1 == latitude and _is_on_level(x_1, x_2 if y_2 == latitude else x_1, longitude):
            return 0
    return 1 if is_inside else -1


def _is_on_level(x_1: float, x_2: float, longitude: float) -> bool:
    return min(x_1, x_2) <= longitude <= max(x_1, x_2)


def _edges(ring: Ring) -> Iterator[tuple[float, float, float, float]]:
    x, y = ring.longitudes, ring.latitudes
    return zip(x, y, x[1:], y[1:], strict=False)


def _circle_boxes(circle: Circle) -> Iterator[Box]:
    reach_deg = math.degrees(circle.radius_m / EARTH_RADIUS_M) + _SLACK_DEG
    south = max(circle.latitude - reach_deg, -90.0)
    north = min(circle.latitude + reach_deg, 90.0)
    if max(north, -south) >= _POLAR_DEG:
        yield Box(south, -180.0, north, 180.0)
        return
    sine = math.sin(math.radians(reach_deg)) / math.cos(math.radians(circle.latitude))
    width_deg = math.degrees(math.asin(sine)) + _SLACK_DEG
    west, east = circle.longitude - width_deg, circle.longitude + width_deg
    yield Box(south, max(west, -180.0), north, min(east, 180.0))
    if west < -_HALF_CIRCUMFERENCE_DEG:
        yield Box(south, west + 360.0, north, 180.0)
    if east > _HALF_CIRCUMFERENCE_DEG:
        yield Box(south, -180.0, north, east - 360.0)
