"""Train and evaluate: from captions to recalls, through features that are made once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vprcap.caption_set import CaptionSet, find_caption_set
from vprcap.descriptors import MODES
from vprcap.encoders import load_image_encoder, load_text_encoder
from vprcap.errors import InvalidError, MissingError
from vprcap.files import read_json
from vprcap.manifest import read_manifest
from vprcap.plan import plan_path, read_plan
from vprcap.stages.describe import describe
from vprcap.stages.evaluate import evaluate
from vprcap.stages.extract import extract_images, extract_text
from vprcap.stages.train import DESCRIPTOR_DIM, train
from vprcap.training import TrainConfig
from vprcap.workflows.prepare import Source, captions_root_of, find_manifest

IMAGE_ENCODER = "facebook/dinov2-base"
TEXT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True, slots=True)
class Encoders:
    """The frozen models that images and captions go through."""

    image: str = IMAGE_ENCODER
    text: str = TEXT_ENCODER


@dataclass(frozen=True, slots=True)
class Material:
    """A manifest with its captions and features."""

    manifest: Path
    captions: Path
    image_features: Path
    text_features: Path


def gather(
    source: Source, encoders: Encoders, captions: Path | None, features_root: Path | None
) -> Material:
    """Find manifest and captions and make what features are missing."""
    manifest = find_manifest(source)
    image_root = Path(read_manifest(manifest).info.image_root)
    if captions is None:
        plan_id = read_plan(plan_path(manifest)).info.plan_id
        captions = find_caption_set(captions_root_of(source, image_root), plan_id)
    root = features_root or image_root / "features"
    text = extract_text(manifest, captions, load_text_encoder(encoders.text), root)
    image = extract_images(manifest, load_image_encoder(encoders.image), root)
    return Material(manifest, captions, image, text)


def train_combiner(
    source: Source,
    output: Path,
    *,
    encoders: Encoders,
    captions: Path | None = None,
    features_root: Path | None = None,
    descriptor_dim: int = DESCRIPTOR_DIM,
    config: TrainConfig,
) -> Path:
    """Train a combiner on a set and return its folder."""
    material = gather(source, encoders, captions, features_root)
    provenance = {
        "image_encoder": encoders.image,
        "text_encoder": encoders.text,
        "trained_on": read_manifest(material.manifest).info.name,
        "captions": _config_id(material.captions),
    }
    return train(
        material.manifest,
        material.image_features,
        material.text_features,
        output,
        config=config,
        descriptor_dim=descriptor_dim,
        provenance=provenance,
    )


def evaluate_combiner(
    source: Source,
    run: Path,
    output: Path | None = None,
    *,
    captions: Path | None = None,
    features_root: Path | None = None,
    shuffle_captions: bool = False,
) -> Path:
    """Evaluate a trained combiner on a set and return ``results.json``."""
    trained = _read_run(run)
    encoders = Encoders(trained["image_encoder"], trained["text_encoder"])
    material = gather(source, encoders, captions, features_root)
    return score(material, run, output, shuffle_captions=shuffle_captions)


def score(
    material: Material, run: Path, output: Path | None = None, *, shuffle_captions: bool = False
) -> Path:
    """Describe and evaluate a set whose features are there; return ``results.json``."""
    name = read_manifest(material.manifest).info.name + ("-shuffled" if shuffle_captions else "")
    output = output or run / "eval" / name
    descriptors = {
        mode: describe(
            run,
            material.image_features,
            material.text_features,
            output / f"{mode}.safetensors",
            mode=mode,
            shuffle_captions=shuffle_captions,
        )
        for mode in MODES
    }
    return evaluate(material.manifest, descriptors, output)


def _config_id(captions: Path) -> str:
    config_id: str = read_json(CaptionSet(captions).config_json)["config_id"]
    return config_id


def _read_run(run: Path) -> dict[str, Any]:
    path = run / "run.json"
    if not path.is_file():
        raise MissingError(f"no trained combiner in {run}; train one with `vprcap train`")
    trained: dict[str, Any] = read_json(path)
    if not {"image_encoder", "text_encoder"} <= trained.keys():
        raise InvalidError(f"{path} does not name the encoders; train again")
    return trained
