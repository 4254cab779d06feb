"""The recall report of one set: counts, recalls with intervals, and what the text was worth."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from vprcap.evaluation.estimate import Estimate, Estimates, estimates_by_cutoff
from vprcap.evaluation.recall import CUTOFFS

_OF_A_CONDITION = ("image", "fused")
"""Modes that the table has a line of for each condition; the JSON has all."""


_NO_GROUND_TRUTH = (
    "no query has a positive, so no recall is counted; what was retrieved is in per_query.parquet, "
    "and `vprcap export` writes it for a server that knows"
)


@dataclass(frozen=True)
class ConditionReport:
    """Recalls of the queries of one condition, such as night."""

    num_queries: int
    num_solvable: int
    recall: dict[str, Estimates]
    """By mode, over solvable queries."""


@dataclass(frozen=True)
class RecallReport:
    """Everything that a table of recalls must say to be trusted."""

    name: str
    partial: str | None
    num_database: int
    num_queries: int
    num_solvable: int
    """Queries with at least one positive."""
    rule: str
    """What a positive is, in words."""
    resampled: str
    """What the bootstrap draws: ``sequences`` or ``queries``."""
    recall: dict[str, Estimates]
    """By mode, over solvable queries."""
    recall_all: dict[str, dict[str, float]]
    """By mode, over all queries: one without positives is a miss."""
    delta: Estimates = field(default_factory=dict)
    """Fused minus image-only, paired by query, over solvable queries."""
    conditions: dict[str, ConditionReport] = field(default_factory=dict)
    """By condition of the query, where queries have several."""
    variant: str | None = None
    """What was measured other than a run as it is, on captions as they are."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the report as a table of percentages."""
        lines = [
            f"{self.name}: {self.num_database:,} database, {self.num_queries:,} queries "
            f"({self.num_solvable:,} solvable), {self.rule}"
        ]
        lines += self._recalls() if self.num_solvable else [_NO_GROUND_TRUTH]
        if self.variant:
            lines.append(f"CHANGED on purpose: {self.variant}")
        if self.partial:
            lines.append(f"PARTIAL, not comparable: {self.partial}")
        return "\n".join(lines)

    def _recalls(self) -> list[str]:
        lines = [_cells("", [f"R@{cutoff}" for cutoff in CUTOFFS])]
        lines += [line_of(mode, estimates) for mode, estimates in self.recall.items()]
        if self.delta:
            lines.append(line_of("fused - image", self.delta, sign="+"))
        if self.num_solvable < self.num_queries:
            lines.append("over all queries, those without positives being misses:")
            lines += [_plain_line(mode, values) for mode, values in self.recall_all.items()]
        for name, own in self.conditions.items():
            lines.append(f"{name}: {own.num_queries:,} queries ({own.num_solvable:,} solvable)")
            modes = [mode for mode in _OF_A_CONDITION if mode in own.recall and own.num_solvable]
            lines += [line_of(mode, own.recall[mode]) for mode in modes]
        lines.append(f"in brackets: 95 % intervals, bootstrap over {self.resampled}")
        return lines


def report_from_json(stored: Mapping[str, Any]) -> RecallReport:
    """Read back what `RecallReport.to_json` gave.

    Raises:
        ValueError: it is something else; as are KeyError, TypeError and AttributeError.
    """
    recall = {mode: _read_estimates(each) for mode, each in stored["recall"].items()}
    for values in stored["recall_all"].values():
        {cutoff: float(value) for cutoff, value in values.items()}
    delta = _read_estimates(stored["delta"])
    conditions = {name: _read_condition(own) for name, own in stored["conditions"].items()}
    read = {"recall": recall, "delta": delta, "conditions": conditions}
    return RecallReport(**{**stored, **read})


def _read_condition(stored: Mapping[str, Any]) -> ConditionReport:
    recall = {mode: _read_estimates(each) for mode, each in stored["recall"].items()}
    return ConditionReport(**{**stored, "recall": recall})


def _read_estimates(stored: Mapping[str, Mapping[str, float]]) -> Estimates:
    if stored and list(stored) != [str(cutoff) for cutoff in CUTOFFS]:
        raise ValueError(f"recalls at {', '.join(stored)}")
    read = {cutoff: Estimate(**each) for cutoff, each in stored.items()}
    for each in read.values():
        float(each.value), float(each.low), float(each.high)
    return read


def line_of(label: str, estimates: Estimates, sign: str = "") -> str:
    """Return estimates by cutoff as a line of a table; `sign` "+" writes signs of differences."""
    return _cells(label, [each.to_text(sign) for each in estimates.values()])


def _plain_line(label: str, values: Mapping[str, float]) -> str:
    return _cells(label, [f"{100 * value:.1f}" for value in values.values()])


def _cells(label: str, cells: Sequence[str]) -> str:
    return f"{label:<15}" + "".join(f"{cell:>22}" for cell in cells)


def build_estimates(
    hits: Mapping[str, Bool[np.ndarray, "queries cutoffs"]],
    solvable: Bool[np.ndarray, " queries"],
    groups: Int[np.ndarray, " queries"],
) -> tuple[dict[str, Estimates], Estimates]:
    """Recalls by mode and the paired difference of fused and image-only, with intervals."""
    if not solvable.any():
        nothing = estimates_by_cutoff(np.zeros((1, len(CUTOFFS))), np.zeros(1, int))
        return dict.fromkeys(hits, nothing), {}
    values = {mode: found[solvable].astype(float) for mode, found in hits.items()}
    own = groups[solvable]
    recalls = {mode: estimates_by_cutoff(each, own) for mode, each in values.items()}
    if not {"fused", "image"} <= values.keys():
        return recalls, {}
    return recalls, estimates_by_cutoff(values["fused"] - values["image"], own)


def condition_report(
    hits: Mapping[str, Bool[np.ndarray, "queries cutoffs"]],
    solvable: Bool[np.ndarray, " queries"],
    groups: Int[np.ndarray, " queries"],
) -> ConditionReport:
    """Recalls of some of the queries."""
    recall, _ = build_estimates(hits, solvable, groups)
    return ConditionReport(len(solvable), int(solvable.sum()), recall)


def plain_recalls(
    hits: Bool[np.ndarray, "queries cutoffs"], cutoffs: Sequence[int]
) -> dict[str, float]:
    """Share of all queries that hit, by cutoff."""
    return {
        str(cutoff): float(share) for cutoff, share in zip(cutoffs, hits.mean(axis=0), strict=True)
    }
