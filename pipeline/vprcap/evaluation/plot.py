"""Curves for papers, as SVG or PDF: equal numbers give equal files.

matplotlib draws, imported only when something is drawn and never with a display. Letters are kept
as text, ids are made from a fixed salt and no date is written, so that a file can be compared.
Colours are those of Okabe and Ito, which colour-blind readers tell apart; curves also differ in
dashes and marks, for those who print in black and white.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vprcap.evaluation.estimate import Estimate
from vprcap.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "vprcap",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_DASHES = ("-", "--", ":", "-.")
_MARKS = ("o", "s", "^", "D", "v", "P", "X")
_SIZE_INCHES = (6.4, 4.0)
_NO_DATE = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
FORMATS = tuple(_NO_DATE)


@dataclass(frozen=True)
class Curve:
    """Shares over something; drawn as percentages, with their intervals as a band."""

    label: str
    x: Sequence[float]
    estimates: Sequence[Estimate]


@dataclass(frozen=True)
class Drawing:
    """Curves, and what is written around them."""

    title: str
    x: str
    y: str
    curves: Sequence[Curve]
    ticks: Sequence[float] = ()
    """Of the x axis; none: matplotlib chooses."""
    logarithmic: bool = False
    """Whether x doubles from tick to tick."""
    levels: Sequence[tuple[str, Estimate]] = field(default=())
    """What has no x: a line across."""


def write_drawing(path: Path, drawing: Drawing) -> Path:
    """Draw and return the path, whose suffix says the format: one of `FORMATS`."""
    import matplotlib
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE), replacing(path) as temporary:
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        (FigureCanvasSVG if path.suffix == ".svg" else FigureCanvasPdf)(figure)
        _draw(figure.add_subplot(), drawing)
        figure.savefig(temporary, format=path.suffix[1:], metadata=_NO_DATE[path.suffix])
    return path


def _draw(plot: "Axes", drawing: Drawing) -> None:
    if drawing.logarithmic:
        plot.set_xscale("log", base=2)
    if drawing.ticks:
        plot.set_xticks(drawing.ticks, [f"{tick:g}" for tick in drawing.ticks])
        plot.minorticks_off()
    for number, curve in enumerate(drawing.curves):
        _draw_curve(plot, curve, number)
    for number, (label, estimate) in enumerate(drawing.levels, start=len(drawing.curves)):
        line = plot.axhline(100 * estimate.value, label=label, linewidth=1)
        line.set(color=_of(_COLOURS, number), linestyle=_of(_DASHES, number))
    plot.set_title(drawing.title, loc="left", fontsize="medium")
    plot.set_xlabel(drawing.x)
    plot.set_ylabel(drawing.y)
    plot.grid(axis="y", alpha=0.3)
    plot.legend(frameon=False)


def _draw_curve(plot: "Axes", curve: Curve, number: int) -> None:
    colour = _of(_COLOURS, number)
    values, low, high = (
        [100 * getattr(each, name) for each in curve.estimates] for name in ("value", "low", "high")
    )
    plot.fill_between(curve.x, low, high, color=colour, alpha=0.15, linewidth=0)
    [line] = plot.plot(curve.x, values, color=colour, label=curve.label)
    line.set(linestyle=_of(_DASHES, number), marker=_of(_MARKS, number))


def _of(choices: Sequence[str], number: int) -> str:
    return choices[number % len(choices)]
