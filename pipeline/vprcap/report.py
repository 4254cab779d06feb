"""The recall report of one set: counts, recalls with intervals, and what the text was worth."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from vprcap.recall import CUTOFFS, bootstrap_means, interval


@dataclass(frozen=True)
class Estimate:
    """A share in 0..1, or a difference of two, with its 95 % interval."""

    value: float
    low: float
    high: float


Estimates = dict[str, Estimate]
"""By cutoff: ``{"1": ..., "5": ...}``."""


@dataclass(frozen=True)
class RecallReport:
    """Everything that a table of recalls must say to be trusted."""

    name: str
    partial: str | None
    num_database: int
    num_queries: int
    num_solvable: int
    """Queries with at least one positive."""
    positive_radius_m: float
    resampled: str
    """What the bootstrap draws: ``sequences`` or ``queries``."""
    recall: dict[str, Estimates]
    """By mode, over solvable queries."""
    recall_all: dict[str, dict[str, float]]
    """By mode, over all queries: one without positives is a miss."""
    delta: Estimates = field(default_factory=dict)
    """Fused minus image-only, paired by query, over solvable queries."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the report as a table of percentages."""
        lines = [
            f"{self.name}: {self.num_database:,} database, {self.num_queries:,} queries "
            f"({self.num_solvable:,} solvable), positives within {self.positive_radius_m:g} m",
            " " * 14 + "".join(f"{f'R@{cutoff}':>22}" for cutoff in CUTOFFS),
        ]
        lines += [_line(mode, estimates) for mode, estimates in self.recall.items()]
        if self.delta:
            lines.append(_line("fused - image", self.delta, sign="+"))
        if self.num_solvable < self.num_queries:
            lines += [
                _plain_line(f"{mode} (all)", values) for mode, values in self.recall_all.items()
            ]
        lines.append(f"in brackets: 95 % intervals, bootstrap over {self.resampled}")
        if self.partial:
            lines.append(f"PARTIAL, not comparable: {self.partial}")
        return "\n".join(lines)


def report_from_json(stored: Mapping[str, Any]) -> RecallReport:
    """Read back what `RecallReport.to_json` gave."""
    recall = {mode: _read_estimates(each) for mode, each in stored["recall"].items()}
    delta = _read_estimates(stored["delta"])
    return RecallReport(**{**stored, "recall": recall, "delta": delta})


def _read_estimates(stored: Mapping[str, Mapping[str, float]]) -> Estimates:
    return {cutoff: Estimate(**each) for cutoff, each in stored.items()}


def _line(label: str, estimates: Estimates, sign: str = "") -> str:
    cells = [
        f"{100 * each.value:{sign}.1f} [{100 * each.low:{sign}.1f}, {100 * each.high:{sign}.1f}]"
        for each in estimates.values()
    ]
    return f"{label:<14}" + "".join(f"{cell:>22}" for cell in cells)


def _plain_line(label: str, values: Mapping[str, float]) -> str:
    return f"{label:<14}" + "".join(f"{100 * value:>22.1f}" for value in values.values())


def build_estimates(
    hits: Mapping[str, Bool[np.ndarray, "queries cutoffs"]],
    solvable: Bool[np.ndarray, " queries"],
    groups: Int[np.ndarray, " queries"],
) -> tuple[dict[str, Estimates], Estimates]:
    """Recalls by mode and the paired difference of fused and image-only, with intervals."""
    if not solvable.any():
        nothing = {mode: _estimates(np.zeros((1, len(CUTOFFS))), np.zeros(1, int)) for mode in hits}
        return nothing, {}
    values = {mode: found[solvable].astype(float) for mode, found in hits.items()}
    own = groups[solvable]
    recalls = {mode: _estimates(each, own) for mode, each in values.items()}
    if not {"fused", "image"} <= values.keys():
        return recalls, {}
    return recalls, _estimates(values["fused"] - values["image"], own)


def _estimates(values: np.ndarray, groups: np.ndarray) -> Estimates:
    low, high = interval(bootstrap_means(values, groups))
    return {
        str(cutoff): Estimate(float(values[:, i].mean()), float(low[i]), float(high[i]))
        for i, cutoff in enumerate(CUTOFFS)
    }


def plain_recalls(
    hits: Bool[np.ndarray, "queries cutoffs"], cutoffs: Sequence[int]
) -> dict[str, float]:
    """Share of all queries that hit, by cutoff."""
    return {
        str(cutoff): float(share) for cutoff, share in zip(cutoffs, hits.mean(axis=0), strict=True)
    }
