"""A table of variants: what each recalls, and what it gains over the reference, with intervals.

Every difference is paired: the same queries, and seed by seed, so that what all variants find hard
cancels out. Intervals take queries and seeds into account, see `vprcap.evaluation.estimate`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from vprcap.evaluation.estimate import Estimate, estimate_over_seeds

Hits = Bool[np.ndarray, "seeds queries"]
"""Which solvable queries have a positive first, with each seed."""


@dataclass(frozen=True)
class Row:
    """R@1 of one variant, over solvable queries."""

    name: str
    recall: Estimate
    """Mean over seeds."""
    by_seed: list[float]
    against_reference: Estimate | None
    """Variant minus reference; None for the reference itself."""
    against_image: Estimate | None
    """Variant minus the same model's image-only descriptors; None where that is the variant."""
    num_bytes: int | None = None
    """What an index holds for one image, where variants differ in it."""


@dataclass(frozen=True)
class Comparison:
    """Variants of one thing on one set."""

    title: str
    name: str
    """The set."""
    partial: str | None
    num_solvable: int
    reference: str
    resampled: str
    rows: list[Row]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the comparison as a table of percentages."""
        sized = any(row.num_bytes for row in self.rows)
        columns = ["R@1", f"- {self.reference}", "- image-only", *(["bytes"] if sized else [])]
        cells = [_cells(row, sized) for row in self.rows]
        widths = [max(map(len, column)) + 3 for column in zip(columns, *cells, strict=True)]
        label = max(len(row.name) for row in self.rows)
        lines = [
            f"{self.name}: {self.title}, {self.num_solvable:,} solvable queries",
            f"{'':<{label}}{_aligned(columns, widths)}   by seed",
        ]
        lines += [
            f"{row.name:<{label}}{_aligned(each, widths)}   "
            + " ".join(f"{100 * value:.1f}" for value in row.by_seed)
            for row, each in zip(self.rows, cells, strict=True)
        ]
        seeds = "seeds and " if any(len(row.by_seed) > 1 for row in self.rows) else ""
        lines.append(
            "differences are paired; in brackets: 95 % intervals, bootstrap over "
            f"{seeds}{self.resampled}"
        )
        if self.partial:
            lines.append(f"PARTIAL, not comparable: {self.partial}")
        return "\n".join(lines)


def build_row(
    name: str,
    hits: Hits,
    image: Hits | None,
    reference: Hits | None,
    groups: Int[np.ndarray, " queries"],
    num_bytes: int | None = None,
) -> Row:
    """Compare one variant with the reference and with its image-only descriptors.

    Args:
        name: of the variant.
        hits: of the variant.
        image: of the same model's image-only descriptors; None where that is the variant.
        reference: of the reference variant; None where that is the variant.
        groups: equal numbers are resampled together.
        num_bytes: what an index holds for one image.
    """

    def gain(over: Hits | None) -> Estimate | None:
        if over is None:
            return None
        return estimate_over_seeds(hits.astype(float) - over.astype(float), groups)

    return Row(
        name=name,
        recall=estimate_over_seeds(hits.astype(float), groups),
        by_seed=hits.mean(axis=1).tolist(),
        against_reference=gain(reference),
        against_image=gain(image),
        num_bytes=num_bytes,
    )


def comparison_from_json(stored: Mapping[str, Any]) -> Comparison:
    """Read back what `Comparison.to_json` gave."""
    return Comparison(**{**stored, "rows": [_read_row(row) for row in stored["rows"]]})


def _read_row(stored: Mapping[str, Any]) -> Row:
    names = ("recall", "against_reference", "against_image")
    estimates = {name: stored[name] and Estimate(**stored[name]) for name in names}
    return Row(**{**stored, **estimates})


def _cells(row: Row, sized: bool) -> list[str]:
    gains = [row.against_reference, row.against_image]
    shown = [row.recall.to_text(), *(each.to_text("+") if each else "" for each in gains)]
    return [*shown, f"{row.num_bytes or 0:,}"] if sized else shown


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
