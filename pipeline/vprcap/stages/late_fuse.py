"""Late-fuse: image-only and text-only descriptors -> what a fusion of finished descriptors recalls.

The rivals of the combiner, on its own descriptors: they are fitted on those of its training set and
judged on those of another set, by the same rules.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vprcap.evaluation.predictions import by_domain, predict, write_evaluation
from vprcap.ground_truth.positives import build_task
from vprcap.late_fusion import Pair, fit_late_fusion, retrieve
from vprcap.manifests.manifest import read_manifest
from vprcap.retrieval.descriptors import Descriptors, read_descriptors
from vprcap.training.places import places_of, positions_of, rows_in_places, traversals_of


@dataclass(frozen=True)
class Described:
    """A manifest with its descriptors of either modality."""

    manifest: Path
    image: Path
    text: Path


def late_fuse(
    kind: str,
    training: Described,
    evaluated: Described,
    output: Path,
    seed: int,
    *,
    variant: str | None = None,
) -> Path:
    """Fit a late fusion on one set and evaluate it on another.

    Args:
        kind: one of ``vprcap.late_fusion.LATE_FUSIONS``.
        training: images with their `place_id`.
        evaluated: database and queries.
        output: folder for ``results.json`` (returned) and ``per_query.parquet``, of the modes
            ``fused`` and, for comparison, ``image``.
        seed: decides split, batches and random weights.
        variant: what a list of recalls calls the result.

    Raises:
        InvalidError: descriptors of other manifests, or too few places.
        MissingError: the training set has no places.
    """
    train_set = read_manifest(training.manifest)
    pairs = _pair(*_read(training))
    kept = rows_in_places(train_set, np.flatnonzero(pairs.has_image))
    fusion = fit_late_fusion(
        kind,
        pairs.take(kept),
        places_of(train_set, kept),
        positions_of(train_set, kept),
        traversals=traversals_of(train_set, kept),
        seed=seed,
    )
    loaded, (image, text) = read_manifest(evaluated.manifest), _read(evaluated)
    task, own = build_task(loaded), _pair(image, text)

    def search(database: np.ndarray, queries: np.ndarray, num_retrieved: int) -> np.ndarray:
        searched, asked = own.take(task.database[database]), own.take(task.queries[queries])
        return retrieve(fusion, searched, asked, num_retrieved)

    predictions = {"image": predict(image, image, task), "fused": by_domain(task, search)}
    return write_evaluation(loaded, task, predictions, output, variant=variant)


def _read(described: Described) -> tuple[Descriptors, Descriptors]:
    return read_descriptors(described.image), read_descriptors(described.text)


def _pair(image: Descriptors, text: Descriptors) -> Pair:
    """Put both modalities together; a missing descriptor is zero, as fusions expect."""
    return Pair(
        image=image.vectors * image.present[:, None],
        text=text.vectors * text.present[:, None],
        has_image=image.present,
        has_text=text.present,
    )
