"""Places of the demo city: what stands there and stays.

Each attribute has few values that look different even in a 160 pixel picture, so that a caption can
be checked word by word. Some places are look-alikes: another place with one attribute changed, as
streets of one district often are. Only reading that attribute tells them apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

Option = TypeVar("Option")

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white")
MATERIALS = ("brick", "stone", "plaster", "timber")
WINDOWS = ("square", "tall", "arched", "round")
ROOFS = ("flat", "gabled", "stepped", "domed")
FLOORS = (2, 3, 4)
SIGNS = (
    *("BANK", "BIKES", "BOOKS", "CAFE", "FISH", "HOTEL", "MILK", "MUSIC"),
    *("OPERA", "PIZZA", "RADIO", "SHOES", "SOUP", "TEA", "TOYS", "WINE"),
)
STREETS = ("narrow", "wide")
LANDMARKS = ("church", "clock tower", "dome", "windmill", "obelisk")
TREES = ("none", "left", "right", "both")

SIGN_SHARE = 0.75
LOOK_ALIKE_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Facade:
    """The front of one building; `sign` is the text over its shop, None without a shop."""

    colour: str
    material: str
    windows: str
    roof: str
    floors: int
    sign: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """One spot of a street, looking along it; `landmark` closes the view, None leaves it open."""

    left: Facade
    right: Facade
    street: str
    landmark: str | None
    trees: str


def city_places(seed: int, num_places: int) -> list[Place]:
    """Return `num_places` different places, look-alikes among them; equal seeds, equal cities."""
    rng = np.random.default_rng(seed)
    places: list[Place] = []
    known: set[Place] = set()
    while len(places) < num_places:
        imitate = places and rng.random() < LOOK_ALIKE_SHARE
        place = look_alike(pick(places, rng), rng) if imitate else random_place(rng)
        if place not in known:
            known.add(place)
            places.append(place)
    return places


def random_place(rng: np.random.Generator) -> Place:
    """Draw every attribute independently."""
    return Place(
        left=_random_facade(rng),
        right=_random_facade(rng),
        street=pick(STREETS, rng),
        landmark=pick((None, *LANDMARKS), rng),
        trees=pick(TREES, rng),
    )


def look_alike(place: Place, rng: np.random.Generator) -> Place:
    """Return the place with exactly one attribute changed."""
    other = place
    while other == place:
        fresh = random_place(rng)
        part = pick(("left", "right", "street", "landmark", "trees"), rng)
        if part in ("left", "right"):
            attribute = pick(Facade.__slots__, rng)
            value = getattr(getattr(fresh, part), attribute)
            other = replace(place, **{part: replace(getattr(place, part), **{attribute: value})})
        else:
            other = replace(place, **{part: getattr(fresh, part)})
    return other


def pick(options: Sequence[Option], rng: np.random.Generator) -> Option:
    """Draw one of the options, each as likely."""
    return options[int(rng.integers(len(options)))]


def _random_facade(rng: np.random.Generator) -> Facade:
    return Facade(
        colour=pick(COLOURS, rng),
        material=pick(MATERIALS, rng),
        windows=pick(WINDOWS, rng),
        roof=pick(ROOFS, rng),
        floors=pick(FLOORS, rng),
        sign=pick(SIGNS, rng) if rng.random() < SIGN_SHARE else None,
    )
