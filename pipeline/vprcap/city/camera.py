"""A pinhole camera on the roof of a survey car, and the warp that hangs a picture on a wall."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Point = tuple[float, float]
EYE_M = 3.2
FOCAL = 1.05
HORIZON = 0.70


@dataclass(frozen=True, slots=True)
class Camera:
    """Metres right, up and ahead of the place's centre become pixels of a square canvas."""

    canvas: int
    shift_m: float = 0.0
    advance_m: float = 0.0
    turn_deg: float = 0.0

    def project(self, right: float, up: float, ahead: float) -> Point:
        """Return the pixel (x, y) where a point in front of the camera is seen."""
        turn = math.radians(self.turn_deg)
        right, ahead = right - self.shift_m, ahead - self.advance_m
        across = right * math.cos(turn) - ahead * math.sin(turn)
        depth = right * math.sin(turn) + ahead * math.cos(turn)
        scale = self.canvas / 2 * FOCAL / depth
        return self.canvas / 2 + across * scale, self.canvas * HORIZON - (up - EYE_M) * scale


def warp_coefficients(source: Sequence[Point], target: Sequence[Point]) -> list[float]:
    """Return the eight numbers of Pillow's PERSPECTIVE that carry four source corners to target.

    Pillow asks for each target pixel where it comes from, so the numbers map target to source.
    """
    rows, values = [], []
    for (u, v), (x, y) in zip(source, target, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
        values += [u, v]
    solution: list[float] = np.linalg.solve(np.array(rows), np.array(values)).tolist()
    return solution
