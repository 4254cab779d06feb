"""Recall by condition, city and heading of the query."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vprcap.evaluation.estimate import Estimate
from vprcap.evaluation.predictions import query_groups
from vprcap.evaluation.report import condition_report
from vprcap.evaluation.stored import Evaluation
from vprcap.ground_truth.positives import Task
from vprcap.manifests.manifest import Manifest

SECTORS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")
_SECTOR_DEG = 360 / len(SECTORS)
_MODES = ("image", "text", "fused")
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Part:
    """The queries that share something."""

    name: str
    num_queries: int
    num_solvable: int
    recall: dict[str, Estimate | None]
    """R@1 by mode, over solvable queries; None where there are none."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Queries parted by one column of the manifest."""

    title: str
    modes: list[str]
    parts: list[Part]


def breakdowns(manifest: Manifest, task: Task, evaluation: Evaluation) -> list[Breakdown]:
    """Part the queries by everything that the manifest knows of them and that differs."""
    columns = {
        "Condition": manifest.column("condition")[task.queries].tolist(),
        "City": manifest.column("domain")[task.queries].tolist(),
        "Heading": _sectors(manifest.column("heading_deg")[task.queries]),
    }
    made = [_breakdown(title, own, manifest, task, evaluation) for title, own in columns.items()]
    return [each for each in made if len(each.parts) > 1]


def _sectors(headings: np.ndarray) -> list[str | None]:
    """Name the eighth of the compass that each heading lies in."""
    return [
        SECTORS[int((heading + _SECTOR_DEG / 2) % 360 // _SECTOR_DEG)]
        if np.isfinite(heading)
        else None
        for heading in headings
    ]


def _breakdown(
    title: str,
    labels: Sequence[str | None],
    manifest: Manifest,
    task: Task,
    evaluation: Evaluation,
) -> Breakdown:
    hits = {mode: found.hits() for mode, found in evaluation.findings.items()}
    modes = [mode for mode in _MODES if mode in hits] or list(hits)
    groups, _ = query_groups(manifest, task)
    names = [label or UNKNOWN for label in labels]
    known = set(names) - {UNKNOWN}
    order = [each for each in SECTORS if each in known] if title == "Heading" else sorted(known)
    order += [UNKNOWN] if UNKNOWN in names else []
    parts = []
    for name in order:
        own = np.array([each == name for each in names])
        of_part = {mode: hits[mode][own] for mode in modes}
        report = condition_report(of_part, task.solvable[own], groups[own])
        recall = {mode: report.recall[mode]["1"] if report.num_solvable else None for mode in modes}
        parts.append(Part(name, report.num_queries, report.num_solvable, recall))
    return Breakdown(title, modes, parts)
