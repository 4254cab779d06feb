"""Landmarks, trees and vehicles as flat cut-outs: coloured polygons in metres, feet at (0, 0)."""

import math
from typing import NamedTuple

from vprcap.city.camera import Point
from vprcap.city.light import Colour

SANDSTONE: Colour = (206, 180, 140)
SHADOW: Colour = (112, 92, 74)
SLATE: Colour = (66, 72, 92)
COPPER: Colour = (86, 160, 144)
IVORY: Colour = (250, 248, 238)
INK: Colour = (34, 34, 44)
BARK: Colour = (92, 66, 48)
LEAVES: tuple[Colour, Colour] = ((58, 120, 56), (84, 150, 70))
LAMP: Colour = (255, 226, 150)
TAIL_LIGHT: Colour = (236, 52, 44)
WINDSCREEN: Colour = (58, 72, 92)

# Half the width, the height and how far the roof is drawn in, in metres.
BODIES = {"car": (1.0, 1.5, 0.3), "van": (1.05, 2.3, 0.08), "bus": (1.3, 3.1, 0.08)}


class Shape(NamedTuple):
    """A filled polygon; one that glows keeps its colour in the dark."""

    outline: list[Point]
    colour: Colour
    glows: bool = False


def tree(snowy: bool) -> list[Shape]:
    """Return a round tree 10.5 m high."""
    dark, bright = LEAVES
    crown = [
        Shape(disc(x, y, r), dark) for x, y, r in ((-1.2, 6.9, 1.6), (1.2, 6.9, 1.6), (0, 8.3, 2))
    ]
    lights = [Shape(disc(x, y, r), bright) for x, y, r in ((-0.9, 7.3, 0.9), (0.5, 8.8, 1.0))]
    cap = [
        Shape(disc(0, 8.9, 1.5, upper=True), IVORY),
        Shape(disc(-1.3, 7.4, 1, upper=True), IVORY),
    ]
    return [Shape(box(-0.3, 0, 0.6, 7), BARK), *crown, *lights, *(cap if snowy else [])]


def street_lamp() -> list[Shape]:
    """Return a lamp post."""
    return [
        Shape(box(-0.12, 0, 0.24, 4.8), INK),
        Shape(disc(0, 5.0, 0.5), LAMP, glows=True),
    ]


def vehicle(kind: str, paint: Colour) -> list[Shape]:
    """Return a car, van or bus seen from behind."""
    half, height, inset = BODIES[kind]
    dim: Colour = (paint[0] * 2 // 3, paint[1] * 2 // 3, paint[2] * 2 // 3)
    return [
        Shape(box(-half + 0.1, 0, 0.4, 0.5), INK),
        Shape(box(half - 0.5, 0, 0.4, 0.5), INK),
        Shape(box(-half, 0.25, 2 * half, 0.75), paint),
        Shape(_cabin(half, 1.0, half - inset, height), dim),
        Shape(_cabin(half - 0.25, 1.05, half - inset - 0.15, height - 0.15), WINDSCREEN),
        Shape(box(-half + 0.08, 0.65, 0.42, 0.25), TAIL_LIGHT, glows=True),
        Shape(box(half - 0.5, 0.65, 0.42, 0.25), TAIL_LIGHT, glows=True),
    ]


def box(left: float, low: float, width: float, height: float) -> list[Point]:
    """Return the corners of an upright rectangle."""
    right, high = left + width, low + height
    return [(left, low), (left, high), (right, high), (right, low)]


def disc(x: float, y: float, radius: float, upper: bool = False) -> list[Point]:
    """Return a circle around (x, y), or its upper half."""
    last = math.pi if upper else 2 * math.pi
    turns = [last * step / 24 for step in range(25)]
    return [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]


def _cabin(half_low: float, low: float, half_high: float, high: float) -> list[Point]:
    return [(-half_low, low), (-half_high, high), (half_high, high), (half_low, low)]


def _sail(x: float, y: float, turn_deg: float) -> list[Point]:
    cos, sin = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    cloth = ((0.4, 0.0), (1.6, 1.5), (1.6, 10), (0.2, 10), (0.0, 0.0))
    return [(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in cloth]


LANDMARK_FIGURES: dict[str, list[Shape]] = {
    "church": [
        Shape(box(-5.5, 0, 11, 9), SANDSTONE),
        Shape([(-6.2, 9), (0, 13.5), (6.2, 9)], SLATE),
        Shape(box(-2.4, 0, 4.8, 17), SANDSTONE),
        Shape([(-2.9, 17), (0, 26), (2.9, 17)], SLATE),
        Shape(disc(0, 14, 1.1), SHADOW),
        Shape(box(-0.25, 26, 0.5, 2.6), INK),
        Shape(box(-1, 27.2, 2, 0.5), INK),
    ],
    "clock tower": [
        Shape(box(-3, 0, 6, 21), SHADOW),
        Shape(box(-3.6, 14, 7.2, 7.6), SANDSTONE),
        Shape(disc(0, 17.8, 3.1), INK),
        Shape(disc(0, 17.8, 2.7), IVORY, glows=True),
        Shape(box(-0.25, 17.8, 0.5, 2.2), INK),
        Shape(box(0, 17.6, 1.7, 0.5), INK),
        Shape([(-3.8, 21.6), (0, 26), (3.8, 21.6)], COPPER),
    ],
    "dome": [
        Shape(box(-6.5, 0, 13, 9), SANDSTONE),
        *(Shape(box(x, 1, 1, 7), IVORY) for x in (-5.5, -2.8, -0.5, 1.8, 4.5)),
        Shape(box(-5, 9, 10, 3), IVORY),
        Shape(disc(0, 12, 5.2, upper=True), COPPER),
        Shape(box(-0.9, 17, 1.8, 2.4), IVORY),
        Shape([(-0.9, 19.4), (0, 22), (0.9, 19.4)], COPPER),
    ],
    "windmill": [
        Shape([(-3.4, 0), (-2.1, 16), (2.1, 16), (3.4, 0)], IVORY),
        Shape(disc(0, 16, 2.4, upper=True), (168, 60, 48)),
        *(Shape(_sail(0, 16, turn), BARK) for turn in (25, 115, 205, 295)),
    ],
    "obelisk": [
        Shape(box(-3, 0, 6, 4), SHADOW),
        Shape([(-1.5, 4), (-0.9, 22), (0.9, 22), (1.5, 4)], IVORY),
        Shape([(-0.9, 22), (0, 25), (0.9, 22)], (222, 178, 64)),
    ],
}
"""The figure of each landmark, 22 to 29 m high."""
