"""Compare: evaluations of several variants -> a table of their differences, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vprcap.errors import InvalidError
from vprcap.evaluation.comparison import Comparison, Hits, build_row
from vprcap.evaluation.predictions import first_hits, query_groups
from vprcap.files import write_json
from vprcap.ground_truth.positives import Task, build_task
from vprcap.manifests.manifest import read_manifest


@dataclass(frozen=True)
class Variant:
    """One row of a comparison: where its evaluations lie, one a seed, seeds in one order."""

    name: str
    evaluations: Sequence[Path]
    mode: str = "fused"
    num_bytes: int | None = None


def compare(
    manifest: Path, variants: Sequence[Variant], reference: str, title: str, output: Path
) -> Path:
    """Compare variants query by query and seed by seed, at R@1.

    Args:
        manifest: what all of them were evaluated on.
        variants: each with as many evaluations as the reference; all hold mode ``image`` too.
        reference: name of the variant that the others are measured against.
        title: what varies, for the table.
        output: JSON file to write; it is returned.

    Raises:
        InvalidError: there is no query with a positive, or an evaluation is of other queries.
    """
    loaded = read_manifest(manifest)
    task = build_task(loaded)
    if not task.solvable.any():
        raise InvalidError(f"no query of {loaded.info.name} has a positive; nothing to compare")
    groups, resampled = query_groups(loaded, task)
    hits = {each.name: _hits(each, each.mode, task) for each in variants}
    rows = [
        build_row(
            each.name,
            hits[each.name],
            None if each.mode == "image" else _hits(each, "image", task),
            None if each.name == reference else hits[reference],
            groups[task.solvable],
            each.num_bytes,
        )
        for each in variants
    ]
    comparison = Comparison(
        title=title,
        name=loaded.info.name,
        partial=loaded.info.partial,
        num_solvable=int(task.solvable.sum()),
        reference=reference,
        resampled=resampled,
        rows=rows,
    )
    return write_json(output, comparison.to_json())


def _hits(variant: Variant, mode: str, task: Task) -> Hits:
    by_seed = [first_hits(path, mode, task)[task.solvable] for path in variant.evaluations]
    return np.stack(by_seed)
