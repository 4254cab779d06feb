"""Curves as SVG: text, so that equal numbers give equal files, and readable without a program.

matplotlib draws, imported only when something is drawn and never with a display. Letters are kept
as text, ids are made from a fixed salt and no date is written, so that the file can be compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vprcap.evaluation.estimate import Estimate
from vprcap.files import replacing

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "vprcap",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_COLOURS = ("#0b6e99", "#888888", "#b5533c")
_SIZE_INCHES = (6.4, 4.0)


@dataclass(frozen=True)
class Axes:
    """What a plot says around its curves."""

    title: str
    x: str
    y: str


def write_curves(
    path: Path, axes: Axes, x: Sequence[float], curves: Mapping[str, Sequence[Estimate]]
) -> Path:
    """Draw shares as percentages over `x`, each curve with its interval as a band.

    Args:
        path: SVG file to write; it is returned.
        axes: title and labels.
        x: ascending.
        curves: by label, an estimate for each of `x`.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE), replacing(path) as temporary:
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        plot = figure.add_subplot()
        for colour, (label, estimates) in zip(_COLOURS, curves.items(), strict=False):
            values, low, high = (
                [100 * getattr(each, name) for each in estimates]
                for name in ("value", "low", "high")
            )
            plot.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
            plot.plot(x, values, color=colour, marker="o", label=label)
        plot.set_title(axes.title, loc="left", fontsize="medium")
        plot.set_xlabel(axes.x)
        plot.set_ylabel(axes.y)
        plot.grid(axis="y", alpha=0.3)
        plot.legend(frameon=False)
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    return path
