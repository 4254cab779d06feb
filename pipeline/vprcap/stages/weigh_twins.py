"""Weigh twins: evaluations with and without twins of queries -> what they are worth."""

from pathlib import Path

from vprcap.evaluation.estimate import Estimates, estimates_by_cutoff
from vprcap.evaluation.predictions import query_groups, read_hits
from vprcap.evaluation.report import report_from_json
from vprcap.evaluation.twin_effect import TwinEffect
from vprcap.files import read_json, write_json
from vprcap.ground_truth.health import twins_of
from vprcap.ground_truth.positives import build_task
from vprcap.manifests.manifest import read_manifest


def weigh_twins(manifest: Path, with_twins: Path, without_twins: Path, output: Path) -> Path:
    """Compare two evaluations query by query, over queries that are solvable in both.

    Args:
        manifest: what both are of.
        with_twins: folder of the evaluation on the whole database.
        without_twins: folder of that without the twins of queries.
        output: JSON file to write; it is returned.

    Raises:
        MissingError: nobody checked the images.
        InvalidError: an evaluation is of other queries.
    """
    loaded, twins = read_manifest(manifest), twins_of(manifest)
    task = build_task(loaded, without=twins)
    groups, _ = query_groups(loaded, task)
    reports = [
        report_from_json(read_json(folder / "results.json"))
        for folder in (with_twins, without_twins)
    ]

    def difference(mode: str) -> Estimates:
        full, rest = (
            read_hits(folder, mode, task)[task.solvable].astype(float)
            for folder in (with_twins, without_twins)
        )
        return estimates_by_cutoff(rest - full, groups[task.solvable])

    solvable = int(task.solvable.sum())
    effect = TwinEffect(
        num_twins=len(twins),
        num_solvable=solvable,
        with_twins=reports[0],
        without_twins=reports[1],
        difference={mode: difference(mode) for mode in reports[0].recall} if solvable else {},
    )
    return write_json(output, effect.to_json())
