"""Which figures a result is worth: recall curves, descriptor lengths, corruption curves."""

import re
from collections.abc import Mapping

from vprcap.errors import InvalidError
from vprcap.evaluation.comparison import Comparison, Row
from vprcap.evaluation.plot import Curve, Drawing
from vprcap.evaluation.recall import CUTOFFS
from vprcap.evaluation.report import RecallReport

_MODES = ("image", "text", "fused")
_INTERVAL = "(%) with 95 % interval"
_UNITS = {"drop-words": "words", "truncate": "words", "swap-colours": "colour words"}
_CORRUPTED = re.compile(r"captions corrupted by ([a-z-]+)")
_STRENGTH = re.compile(r"strength ([0-9.]+)")
_LENGTH = re.compile(r"(fused|image-only) (\d+)")
_CODES = re.compile(r"(fused|image-only) (\d+ bits.*)")


def recall_figure(report: RecallReport) -> Drawing:
    """Draw recall@K of images, text and both."""
    modes = [mode for mode in _MODES if mode in report.recall] or list(report.recall)
    curves = [Curve(mode, CUTOFFS, list(report.recall[mode].values())) for mode in modes]
    return _recalls(f"{_titled(report)}, {report.rule}", curves)


def methods_figure(reports: Mapping[str, RecallReport]) -> Drawing:
    """Draw recall@K of several evaluations of one set, by label: fused where there is text."""
    curves = []
    for label, report in reports.items():
        mode = "fused" if "fused" in report.recall else next(iter(report.recall))
        changed = f", {report.variant}" if report.variant else ""
        estimates = list(report.recall[mode].values())
        curves.append(Curve(f"{label} ({mode}{changed})", CUTOFFS, estimates))
    one = next(iter(reports.values()))
    return _recalls(f"{one.name}{_partial(one.partial)}, {one.rule}", curves)


def comparison_figure(comparison: Comparison) -> Drawing:
    """Draw a comparison that has something to draw it over.

    Raises:
        InvalidError: it has not: it compares gates or fusions.
    """
    if _CORRUPTED.search(comparison.title):
        return corruption_figure(comparison)
    if any(_LENGTH.fullmatch(row.name) for row in comparison.rows):
        return length_figure(comparison)
    raise InvalidError(
        f"{comparison.title!r} is a table; what is drawn are recalls, --ablate dims and --corrupt"
    )


def corruption_figure(comparison: Comparison) -> Drawing:
    """Draw R@1 over the strength of a corruption, with image-only as a level."""
    found = _CORRUPTED.search(comparison.title)
    kind = found[1] if found else ""
    points = [(float(m[1]), row.recall) for row in comparison.rows if (m := _matched(row))]
    curve = Curve("fused", [x for x, _ in points], [estimate for _, estimate in points])
    levels = [(row.name, row.recall) for row in comparison.rows if not _matched(row)]
    flat = [Curve(name, curve.x, [estimate] * len(points)) for name, estimate in levels]
    return Drawing(
        f"{comparison.name}: {kind}{_partial(comparison.partial)}",
        f"share of {_UNITS.get(kind, 'captions')} corrupted",
        f"R@1 {_INTERVAL}",
        [curve, *flat],
    )


def length_figure(comparison: Comparison) -> Drawing:
    """Draw R@1 over the dimension of a descriptor, with binary codes as levels."""
    lengths = [(m, row) for row in comparison.rows if (m := _LENGTH.fullmatch(row.name))]
    curves = []
    for mode in ("fused", "image-only"):
        own = sorted((int(m[2]), row.recall) for m, row in lengths if m[1] == mode)
        curves.append(Curve(mode, [x for x, _ in own], [estimate for _, estimate in own]))
    codes = [row for row in comparison.rows if _CODES.fullmatch(row.name)]
    return Drawing(
        f"{comparison.name}{_partial(comparison.partial)}",
        "descriptor dimension",
        f"R@1 {_INTERVAL}",
        [curve for curve in curves if curve.x],
        ticks=sorted({int(m[2]) for m, _ in lengths}),
        logarithmic=True,
        levels=[(row.name, row.recall) for row in codes],
    )


def _matched(row: Row) -> re.Match[str] | None:
    return _STRENGTH.fullmatch(row.name)


def _recalls(title: str, curves: list[Curve]) -> Drawing:
    return Drawing(title, "K", f"recall@K {_INTERVAL}", curves, ticks=CUTOFFS)


def _titled(report: RecallReport) -> str:
    changed = f" ({report.variant})" if report.variant else ""
    return f"{report.name}{changed}{_partial(report.partial)}"


def _partial(partial: str | None) -> str:
    return " (PARTIAL)" if partial else ""
