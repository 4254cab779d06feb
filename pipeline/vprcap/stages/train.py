"""Train: features, or photographs, and places -> combiner, and adapters."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from accelerate import PartialState  # type: ignore[import-untyped]

from vprcap.caption_sets.captions import captions_of
from vprcap.combiner import CombinerConfig, FeatureCombiner
from vprcap.decoding import DecodePool
from vprcap.encoders import load_image_encoder, load_text_encoder
from vprcap.encoders.adapters import AdapterConfig
from vprcap.errors import InvalidError
from vprcap.files import fingerprint, read_json, write_json
from vprcap.manifests.manifest import Manifest, image_path, read_manifest
from vprcap.retrieval.features import digest_rows, read_features
from vprcap.training import Keeping, TrainConfig, TrainingSet, fit
from vprcap.training.adapted import AdaptedEncoders
from vprcap.training.checkpoint import refuse_other
from vprcap.training.data import TrainingImages
from vprcap.training.photographs import Photographs, open_pool, readable_rows
from vprcap.training.places import places_of, positions_of, rows_in_places, traversals_of
from vprcap.training.tracking import JsonlTracker

logger = logging.getLogger(__name__)

DESCRIPTOR_DIM = 512


def train(
    manifest: Path,
    image_features: Path,
    text_features: Path | None,
    output: Path,
    *,
    config: TrainConfig,
    descriptor_dim: int = DESCRIPTOR_DIM,
    text_dim: int = 1,
    parts: Mapping[str, Any] = MappingProxyType({}),
    provenance: Mapping[str, Any],
) -> Path:
    """Train a combiner on the places of a manifest, on stored features.

    Args:
        manifest: training images with their `place_id`.
        image_features: feature set of the images.
        text_features: feature set of their captions; None trains on images alone.
        output: folder of the run; it is returned. An interrupted training goes on from its
            ``checkpoint.safetensors``; a finished one is left as it is.
        config: schedule and augmentation.
        descriptor_dim: length of the descriptor.
        text_dim: length of a text token, where there are no text features to tell it.
        parts: names of the combiner's gate, fusion and pooling, where not the default ones.
        provenance: what to remember about the encoders and captions that the features are of.

    Raises:
        InvalidError: the manifest has no places, or features of another one were given.
        StaleArtefactError: the folder holds a training of another configuration.
        Interrupted: a signal asked to stop; the state is saved.
    """
    data = _training_set(read_manifest(manifest), image_features, text_features, text_dim)
    sets = {"images": image_features, "captions": text_features}
    digests = {
        name: path and fingerprint(read_json(path / "features.json"))[:16]
        for name, path in sets.items()
    }
    sizes = {"descriptor_dim": descriptor_dim, **parts}
    return _train(data, output, config, sizes, provenance, digests)


def train_end_to_end(
    manifest: Path,
    captions: Path | None,
    output: Path,
    *,
    image_encoder: str,
    text_encoder: str,
    image_size: tuple[int, int],
    adapters: AdapterConfig,
    config: TrainConfig,
    descriptor_dim: int = DESCRIPTOR_DIM,
    parts: Mapping[str, Any] = MappingProxyType({}),
    provenance: Mapping[str, Any],
) -> Path:
    """Train a combiner together with adapters in its encoders, from photographs.

    The text encoder gets bottleneck adapters, of whatever kind the image encoder's are: text has
    no grid to convolve. Images that cannot be decoded are left out.

    Args:
        manifest: training images with their `place_id`.
        captions: set of their captions; None trains on images alone.
        output: folder of the run, as in `train`; adapters are written beside the combiner.
        image_encoder: name of the encoder of images.
        text_encoder: name of the encoder of captions.
        image_size: height and width in pixels of what the image encoder sees.
        adapters: what stands in the image encoder's blocks.
        config: schedule and augmentation.
        descriptor_dim: length of the descriptor.
        parts: names of the combiner's gate, fusion and pooling, where not the default ones.
        provenance: what to remember about encoders and captions.

    Raises:
        InvalidError: the manifest has no places.
        StaleArtefactError: the folder holds a training of another configuration.
        Interrupted: a signal asked to stop; the state is saved.
    """
    loaded = read_manifest(manifest)
    texts: list[str | None] = [None] * len(loaded.image_ids)
    if captions is not None:
        texts = captions_of(loaded, captions)
    with torch.random.fork_rng(), open_pool() as pool:
        torch.manual_seed(config.seed)  # adapters begin at random
        encoders = AdaptedEncoders(
            load_image_encoder(image_encoder, image_size),
            load_text_encoder(text_encoder),
            adapters,
            None if captions is None else AdapterConfig("bottleneck", adapters.norm),
        )
        data = _photographs(loaded, texts, encoders, pool)
        digests = {
            "images": digest_rows([loaded.info.image_root, *map(str, data.paths)])[:16],
            "captions": captions and digest_rows(texts)[:16],
            "encoders": {"image": encoders.image.provenance, "text": encoders.text.provenance},
        }
        made_of = {**digests, "adapters": asdict(adapters)}
        sizes = {"descriptor_dim": descriptor_dim, **parts}
        return _train(data, output, config, sizes, provenance, made_of)


def _train(
    data: TrainingImages,
    output: Path,
    config: TrainConfig,
    sizes: Mapping[str, Any],
    provenance: Mapping[str, Any],
    made_of: Mapping[str, Any],
) -> Path:
    combiner_config = CombinerConfig(*data.dims, **sizes)
    identity = {
        "training": asdict(config),
        "combiner": asdict(combiner_config),
        "places": digest_rows(_whereabouts(data))[:16],
        **made_of,
    }
    checkpoint, run_json = output / "checkpoint.safetensors", output / "run.json"
    if run_json.is_file() and not checkpoint.is_file():
        refuse_other(output, read_json(run_json).get("identity", {}), identity)
        logger.warning("%s is trained already, in this configuration; nothing is done", output)
        return output
    output.mkdir(parents=True, exist_ok=True)
    record = {**provenance, "training": asdict(config), "identity": identity}

    def keep(combiner: FeatureCombiner) -> None:
        combiner.save(output)
        if data.encoders is not None:
            data.encoders.save(output)
        write_json(run_json, record)

    log = JsonlTracker(output / "metrics.jsonl")
    keeping = Keeping(checkpoint, identity, keep, log.rewrite, (log, "tensorboard"))
    combiner = fit(data, combiner_config, config, keeping=keeping)
    if PartialState().is_main_process:  # not before `fit`: accelerate decides there what we are
        keep(combiner)
        checkpoint.unlink()  # from here on the training is finished
    return output


def _whereabouts(data: TrainingImages) -> list[Any]:
    """All that is known about places, as JSON can say it."""
    known = (data.places, data.positions, data.traversals)
    return [None if each is None else each.tolist() for each in known]


def _training_set(
    manifest: Manifest, image_features: Path, text_features: Path | None, text_dim: int
) -> TrainingSet:
    images = read_features(image_features)
    count = len(images.tokens)
    if text_features is None:
        text, mask = np.zeros((count, 1, text_dim), np.float16), np.zeros((count, 1), bool)
    else:
        captions = read_features(text_features)
        text, mask = captions.tokens, captions.mask
    if not manifest.rows.num_rows == count == len(text):
        raise InvalidError(
            f"{manifest.info.name} has {manifest.rows.num_rows} images, the features {count} and "
            f"{len(text)}; extract them from this manifest"
        )
    kept = rows_in_places(manifest, np.flatnonzero(images.present))
    rows = slice(None) if len(kept) == count else kept  # the arrays stay mapped, however large
    return TrainingSet(
        image_tokens=images.tokens[rows],
        text_tokens=text[rows],
        text_mask=mask[rows],
        places=places_of(manifest, kept),
        positions=positions_of(manifest, kept),
        traversals=traversals_of(manifest, kept),
    )


def _photographs(
    manifest: Manifest,
    captions: list[str | None],
    encoders: AdaptedEncoders,
    pool: DecodePool,
) -> Photographs:
    paths = [image_path(manifest.info.image_root, name) for name in manifest.image_ids]
    kept = rows_in_places(manifest, readable_rows(paths, pool))
    return Photographs(
        paths=[paths[row] for row in kept],
        captions=[captions[row] for row in kept],
        places=places_of(manifest, kept),
        positions=positions_of(manifest, kept),
        traversals=traversals_of(manifest, kept),
        encoders=encoders,
        pool=pool,
    )
