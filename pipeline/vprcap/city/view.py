"""Views of a place: what changes between two visits, and what a good caption leaves out."""

from dataclasses import dataclass

import numpy as np

from vprcap.city.place import pick

CONDITIONS = ("day", "dusk", "night", "fog", "rain", "snow")
VEHICLES = ("car", "van", "bus")

MAX_SHIFT_M = 0.8
MAX_TURN_DEG = 4.0
MAX_VEHICLES = 3


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A vehicle that stands in the way: metres right of the street's middle and metres ahead."""

    kind: str
    paint: tuple[int, int, int]
    right_m: float
    ahead_m: float


@dataclass(frozen=True, slots=True)
class View:
    """One visit: weather and light, where the camera stands and looks, what drives past.

    `seed` scatters what has no meaning: which windows are lit, drops, flakes, grain.
    """

    condition: str
    shift_m: float = 0.0
    advance_m: float = 0.0
    turn_deg: float = 0.0
    vehicles: tuple[Vehicle, ...] = ()
    seed: int = 0


def random_view(condition: str, rng: np.random.Generator) -> View:
    """Draw a visit under the given condition."""
    return View(
        condition=condition,
        shift_m=float(rng.uniform(-MAX_SHIFT_M, MAX_SHIFT_M)),
        advance_m=float(rng.uniform(-MAX_SHIFT_M, MAX_SHIFT_M)),
        turn_deg=float(rng.uniform(-MAX_TURN_DEG, MAX_TURN_DEG)),
        vehicles=tuple(_random_vehicle(rng) for _ in range(rng.integers(MAX_VEHICLES + 1))),
        seed=int(rng.integers(2**31)),
    )


def _random_vehicle(rng: np.random.Generator) -> Vehicle:
    red, green, blue = (int(channel) for channel in rng.integers(40, 230, 3))
    return Vehicle(
        kind=pick(VEHICLES, rng),
        paint=(red, green, blue),
        right_m=float(rng.uniform(-5.5, 5.5)),
        ahead_m=float(rng.uniform(10.5, 17.0)),
    )
