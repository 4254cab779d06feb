"""The report of one evaluation as a page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vprcap.errors import StaleArtefactError
from vprcap.evaluation.recall import CUTOFFS
from vprcap.evaluation.stored import Evaluation
from vprcap.ground_truth.positives import Task
from vprcap.manifests.manifest import Manifest
from vprcap.pages.breakdown import breakdowns
from vprcap.pages.curves import draw_curves
from vprcap.pages.gates import gates_of, shaded
from vprcap.pages.outcomes import chosen, counted, judged_modes, outcomes
from vprcap.pages.positions import maps_of, num_regions, num_unplaced
from vprcap.pages.query_rows import build_rows


def report_values(
    manifest: Manifest,
    task: Task,
    evaluation: Evaluation,
    num_queries: int,
    *,
    follow_links: bool = False,
) -> Mapping[str, Any]:
    """Collect everything that the template of a report shows.

    Args:
        manifest: the set that was evaluated.
        task: its database, queries and positives.
        evaluation: results, read back.
        num_queries: how many queries are shown with their pictures, at most.
        follow_links: whether images may be links out of the image root.

    Raises:
        StaleArtefactError: the evaluation is not of this manifest as it is now.
    """
    check_same(manifest, task, evaluation)
    report = evaluation.report
    kinds = outcomes(evaluation, task.solvable.tolist())
    shown = chosen(kinds, num_queries)
    solvable = report.num_solvable > 0
    best, before = judged_modes(evaluation)
    return {
        "report": report,
        "cutoffs": CUTOFFS,
        "best": best,
        "before": before,
        "curves": draw_curves(report.recall) if solvable else None,
        "breakdowns": breakdowns(manifest, task, evaluation) if solvable else [],
        "maps": maps_of(manifest, task, evaluation, kinds),
        "regions": num_regions(manifest, task),
        "num_unplaced": num_unplaced(manifest, task),
        "gates": gates_of(evaluation.captions.values()),
        "outcomes": counted(kinds),
        "rows": build_rows(manifest, task, evaluation, kinds, shown, follow_links=follow_links),
        "provenance": evaluation.provenance,
        "folder": evaluation.folder,
        "num_positives": sum(len(own) for own in task.positives),
        "percent": percent,
        "shaded": shaded,
    }


def check_same(manifest: Manifest, task: Task, evaluation: Evaluation) -> None:
    """Refuse to explain results by another set than the one that they are of.

    Raises:
        StaleArtefactError: queries, database or ground truth differ.
    """
    ids = manifest.image_ids
    report = evaluation.report
    same = (
        [ids[row] for row in task.queries] == evaluation.query_ids
        and len(task.database) == report.num_database
        and str(manifest.info.rule) == report.rule
        and _same_truth(ids, task, evaluation)
    )
    if not same:
        raise StaleArtefactError(
            f"{evaluation.folder} is not of {manifest.info.name} as it is now (images, places or "
            "rule differ); evaluate again, or name its --manifest"
        )


def _same_truth(ids: Sequence[str], task: Task, evaluation: Evaluation) -> bool:
    """Say whether positives are those that the stored ranks were counted by."""
    positives = [{ids[task.database[row]] for row in own} for own in task.positives]
    if [len(own) for own in positives] != evaluation.num_positives:
        return False
    return all(
        rank == next((place for place, name in enumerate(names, 1) if name in own), None)
        for found in evaluation.findings.values()
        for rank, names, own in zip(found.first_hit, found.retrieved, positives, strict=True)
    )


def percent(share: float) -> str:
    """Write a share as a percentage with one decimal."""
    return "" if math.isnan(share) else f"{100 * share:.1f}"
