"""Train: features and places -> combiner."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from vprcap.combiner import CombinerConfig
from vprcap.errors import InvalidError, MissingError
from vprcap.features import read_features
from vprcap.files import write_json
from vprcap.manifest import Manifest, read_manifest, zone_numbers
from vprcap.progress import Progress
from vprcap.training import TrainConfig, TrainingSet, fit

DESCRIPTOR_DIM = 512


def train(
    manifest: Path,
    image_features: Path,
    text_features: Path,
    output: Path,
    *,
    config: TrainConfig,
    descriptor_dim: int = DESCRIPTOR_DIM,
    parts: Mapping[str, Any] = MappingProxyType({}),
    provenance: Mapping[str, Any],
) -> Path:
    """Train a combiner on the places of a manifest.

    Args:
        manifest: training images with their `place_id`.
        image_features: feature set of the images.
        text_features: feature set of their captions.
        output: folder for ``config.json``, ``model.safetensors``, ``metrics.jsonl`` and
            ``run.json``; it is returned.
        config: schedule and augmentation.
        descriptor_dim: length of the descriptor.
        parts: names of the combiner's gate, fusion and pooling, where not the default ones.
        provenance: what to remember about the encoders and captions that the features are of.

    Raises:
        InvalidError: the manifest has no places, or features of another one were given.
    """
    data = _training_set(read_manifest(manifest), image_features, text_features)
    combiner_config = CombinerConfig(
        image_dim=data.image_tokens.shape[2],
        text_dim=data.text_tokens.shape[2],
        descriptor_dim=descriptor_dim,
        **parts,
    )
    output.mkdir(parents=True, exist_ok=True)
    with (
        (output / "metrics.jsonl").open("w") as log,
        Progress("training", config.epochs + 1, "epochs") as progress,
    ):

        def on_epoch(metrics: Mapping[str, float]) -> None:
            log.write(json.dumps(dict(metrics)) + "\n")
            log.flush()
            progress.advance()

        combiner = fit(data, combiner_config, config, on_epoch)
    combiner.save(output)
    write_json(output / "run.json", {**provenance, "training": asdict(config)})
    return output


def _training_set(manifest: Manifest, image_features: Path, text_features: Path) -> TrainingSet:
    images, texts = read_features(image_features), read_features(text_features)
    if not manifest.rows.num_rows == len(images.tokens) == len(texts.tokens):
        raise InvalidError(
            f"{manifest.info.name} has {manifest.rows.num_rows} images, the features "
            f"{len(images.tokens)} and {len(texts.tokens)}; extract them from this manifest"
        )
    names = manifest.column("place_id")
    if any(name is None for name in names):
        raise MissingError(
            f"images of {manifest.info.name} have no place_id, so there is nothing to learn from; "
            "train on a set with places, such as gsv-cities"
        )
    kept = np.flatnonzero(images.present)
    _, places = np.unique(names[kept].astype(str), return_inverse=True)
    every = len(kept) == len(images.tokens)  # then the arrays stay mapped, however large
    rows = slice(None) if every else kept
    return TrainingSet(
        image_tokens=images.tokens[rows],
        text_tokens=texts.tokens[rows],
        text_mask=texts.mask[rows],
        places=places,
        positions=_positions(manifest, kept),
        traversals=_traversals(manifest, kept),
    )


def _traversals(manifest: Manifest, rows: np.ndarray) -> np.ndarray | None:
    """Which drive each image is of: its sequence, else its role; None where neither is known."""
    for column in ("sequence", "role"):
        names = manifest.column(column)[rows]
        if all(name is not None for name in names):
            _, traversals = np.unique(names.astype(str), return_inverse=True)
            return traversals if traversals.max() > 0 else None
    return None


def _positions(manifest: Manifest, rows: np.ndarray) -> np.ndarray | None:
    """Metres; None where unknown. Zones are moved apart: their coordinates coincide."""
    metres = np.stack([manifest.column("easting"), manifest.column("northing")], axis=1)
    positions: np.ndarray = metres[rows]
    if np.isnan(positions).any():
        return None
    numbers = np.array([number or "" for number in zone_numbers(manifest)])
    _, zones = np.unique(numbers[rows], return_inverse=True)
    positions[:, 0] += 1e7 * zones
    return positions
