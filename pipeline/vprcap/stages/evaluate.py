"""Evaluate: descriptors and a manifest -> predictions and a recall report. Needs no model."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vprcap.errors import InvalidError
from vprcap.evaluation.predictions import predict, write_evaluation
from vprcap.ground_truth.health import twins_of
from vprcap.ground_truth.positives import build_task
from vprcap.manifests.manifest import Manifest, read_manifest
from vprcap.retrieval.descriptors import Descriptors, read_descriptors


def evaluate(
    manifest: Path,
    modes: Mapping[str, tuple[Path, Path]],
    output: Path,
    *,
    dim: int | None = None,
    binary: bool = False,
    without_twins: bool = False,
    variant: str | None = None,
) -> Path:
    """Search the database with every query and score it, in each mode.

    Args:
        manifest: database, queries and their positions.
        modes: by name (``vprcap.retrieval.descriptors.QUERY_MODES``) the descriptors to ask with
            and those to search; each file describes the whole manifest.
        output: folder for ``results.json`` (returned) and ``per_query.parquet``.
        dim: compare only so many of the first numbers, normalised again; default: all.
        binary: search binary codes, and order what they find by the descriptors.
        without_twins: leave out database images that are a twin of a query, as
            `vprcap.stages.check` found them.
        variant: what the descriptors were made of on purpose, such as corrupted captions.

    Raises:
        MissingError: twins are to be left out, and nobody checked.
        InvalidError: descriptors of another manifest, or two of one mode of different length.
    """
    loaded = read_manifest(manifest)
    twins = twins_of(manifest) if without_twins else []
    task = build_task(loaded, without=twins)
    files = {path for pair in modes.values() for path in pair}
    described = {path: _read(path, loaded, dim) for path in files}
    predictions = {
        mode: predict(described[queries], described[database], task, binary=binary)
        for mode, (queries, database) in modes.items()
    }
    if without_twins:
        name = f"{loaded.info.name} without {len(twins):,} twins of queries"
        loaded = replace(loaded, info=replace(loaded.info, name=name))
    return write_evaluation(loaded, task, predictions, output, variant=variant)


def _read(path: Path, manifest: Manifest, dim: int | None) -> Descriptors:
    descriptors = read_descriptors(path)
    if len(descriptors.vectors) != manifest.rows.num_rows:
        raise InvalidError(
            f"{path} describes {len(descriptors.vectors)} images, {manifest.info.name} has "
            f"{manifest.rows.num_rows}; describe this manifest"
        )
    return descriptors if dim is None else descriptors.prefix(dim)
