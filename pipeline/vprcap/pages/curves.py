"""Recall curves with their intervals, as the coordinates of a drawing.

Colours are the page's, so that a curve follows light and dark; curves also differ in dashes and
marks, so that no reader has to tell colours apart.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from vprcap.evaluation.estimate import Estimate, Estimates

WIDTH, HEIGHT = 560, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 84, 12, 36
_CURVES = ("image", "text", "fused")
"""What is drawn where it is there; a table says the rest."""
_LABEL_APART = 16.0


@dataclass(frozen=True, slots=True)
class Curve:
    """One mode."""

    mode: str
    line: str
    """Points of a polyline."""
    band: str
    """Points of a polygon: the 95 % interval."""
    marks: list[tuple[float, float, str]]
    """x, y and what is there, in words."""
    label_y: float
    """Height of the name at the right end, clear of the others."""


@dataclass(frozen=True, slots=True)
class Curves:
    """A drawing of ``WIDTH`` by ``HEIGHT`` units."""

    curves: list[Curve]
    columns: list[tuple[float, str]]
    """x and label of each cutoff."""
    rows: list[tuple[float, str]]
    """y and label of each gridline."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def draw_curves(recall: Mapping[str, Estimates]) -> Curves:
    """Draw recall over the cutoffs, evenly spaced, from a round percentage below all up to 100."""
    modes = [mode for mode in _CURVES if mode in recall] or list(recall)
    cutoffs = list(recall[modes[0]])
    lowest = min(each.low for mode in modes for each in recall[mode].values())
    floor = min(90, math.floor(lowest * 10) * 10)
    columns = [_x(i, len(cutoffs)) for i in range(len(cutoffs))]
    ends = _apart({mode: _y(list(recall[mode].values())[-1].value, floor) for mode in modes})
    return Curves(
        [_curve(mode, recall[mode], columns, floor, ends[mode]) for mode in modes],
        [(x, f"R@{cutoff}") for x, cutoff in zip(columns, cutoffs, strict=True)],
        [(_y(percent / 100, floor), str(percent)) for percent in _gridlines(floor)],
    )


def _curve(
    mode: str, estimates: Estimates, columns: list[float], floor: int, label_y: float
) -> Curve:
    def points(name: str) -> list[tuple[float, float]]:
        values = [getattr(each, name) for each in estimates.values()]
        return [(x, _y(value, floor)) for x, value in zip(columns, values, strict=True)]

    middle, low, high = points("value"), points("low"), points("high")
    words = [_said(mode, *each) for each in estimates.items()]
    marks = [(x, y, said) for (x, y), said in zip(middle, words, strict=True)]
    return Curve(mode, _joined(middle), _joined(high + low[::-1]), marks, label_y)


def _said(mode: str, cutoff: str, estimate: Estimate) -> str:
    return f"{mode}, R@{cutoff}: {estimate.to_text()}"


def _joined(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _gridlines(floor: int) -> range:
    return range(floor, 101, 10 if floor >= 40 else 20)


def _x(column: int, num_columns: int) -> float:
    span = WIDTH - _LEFT - _RIGHT - 24
    return _LEFT + 12 + span * column / max(1, num_columns - 1)


def _y(share: float, floor: int) -> float:
    return _TOP + (HEIGHT - _TOP - _BOTTOM) * (100 - 100 * share) / (100 - floor)


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """Move labels down where they would lie on one another."""
    placed: dict[str, float] = {}
    last = -math.inf
    for mode, y in sorted(heights.items(), key=lambda pair: pair[1]):
        last = max(y, last + _LABEL_APART)
        placed[mode] = last
    return placed
