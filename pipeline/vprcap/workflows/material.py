"""What training and evaluation work on: a manifest with its captions and cached features."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vprcap.caption_sets.caption_set import CaptionSet, find_caption_set
from vprcap.encoders import (
    IMAGE_SIZE,
    ImageEncoder,
    TextEncoder,
    load_image_encoder,
    load_text_encoder,
)
from vprcap.errors import InvalidError, MissingError
from vprcap.evaluation.corruption import Corruption
from vprcap.files import read_json
from vprcap.manifests.manifest import read_manifest_info
from vprcap.manifests.plan import plan_path, read_plan
from vprcap.stages.extract import extract_images, extract_text
from vprcap.training.adapted import IMAGE_ADAPTERS, TEXT_ADAPTERS
from vprcap.workflows.prepare import Source, captions_root_of, find_manifest

logger = logging.getLogger(__name__)

IMAGE_ENCODER = "facebook/dinov2-base"
TEXT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
PICKLES = {".pt", ".pth", ".bin", ".pkl", ".ckpt"}


@dataclass(frozen=True, slots=True)
class Encoders:
    """The models that images and captions go through: frozen, or with trained adapters."""

    image: str = IMAGE_ENCODER
    text: str = TEXT_ENCODER
    image_size: tuple[int, int] = IMAGE_SIZE
    image_adapters: Path | None = None
    text_adapters: Path | None = None

    def load_image(self) -> ImageEncoder:
        """Load the image encoder."""
        return load_image_encoder(self.image, self.image_size, adapters=self.image_adapters)

    def load_text(self) -> TextEncoder:
        """Load the text encoder."""
        return load_text_encoder(self.text, adapters=self.text_adapters)


@dataclass(frozen=True, slots=True)
class Material:
    """A manifest with its captions and features."""

    manifest: Path
    captions: Path | None
    """None where images are described alone."""
    image_features: Path
    text_features: Path | None


def encoders_of(run: Path) -> Encoders:
    """Give the encoders that a combiner was trained with, with the adapters that it trained.

    Raises:
        MissingError: there is no trained combiner.
        InvalidError: the run does not name its encoders, or its adapters are not there.
    """
    trained = read_run(run)
    height, width = trained.get("image_size", IMAGE_SIZE)
    adapted = trained.get("adapters", {})
    return Encoders(
        trained["image_encoder"],
        trained["text_encoder"],
        (height, width),
        run / IMAGE_ADAPTERS if adapted.get("image") else None,
        run / TEXT_ADAPTERS if adapted.get("text") else None,
    )


def read_run(run: Path) -> dict[str, Any]:
    """Read how a combiner was trained.

    Raises:
        MissingError: there is no trained combiner.
        InvalidError: the run does not name its encoders.
    """
    path = run / "run.json"
    if not path.is_file():
        raise MissingError(f"no trained combiner in {run}{_pickles(run)}")
    trained: dict[str, Any] = read_json(path)
    if not {"image_encoder", "text_encoder"} <= trained.keys():
        raise InvalidError(f"{path} does not name the encoders; train again")
    return trained


def warn_of_training_set(run: Path, manifest: Path) -> None:
    """Warn where a run is evaluated on the very images that it was trained on."""
    name = read_manifest_info(manifest)[0].name
    if read_run(run).get("trained_on") == name:
        logger.warning(
            "%s was trained on %s, so its recalls here say nothing about other places", run, name
        )


def warn_of_other_captions(run: Path, captions: Path | None) -> None:
    """Warn where captions were made in another way than those that a run was trained on."""
    trained = read_run(run)
    if captions is None or trained.get("captions") is None:
        return
    found = CaptionSet(captions).config_id
    if trained["captions"] != found:
        logger.warning(
            "%s was trained on captions %s (configuration %s), and %s is of configuration %s: "
            "text may be worth less than it could be",
            run,
            trained.get("caption_set"),
            trained["captions"][:8],
            captions.name,
            found[:8],
        )


def find_captions(source: Source, manifest: Path) -> Path:
    """Find the caption set of a manifest's plan."""
    image_root = Path(read_manifest_info(manifest)[0].image_root)
    plan_id = read_plan(plan_path(manifest)).info.plan_id
    return find_caption_set(captions_root_of(source, image_root), plan_id)


def corrupted(material: Material, encoder: TextEncoder, corruption: Corruption) -> Material:
    """Give the same images with corrupted captions, whose features are made where missing."""
    if material.captions is None or material.text_features is None:
        raise InvalidError("there are no captions to corrupt; say which with --captions")
    text = extract_text(
        material.manifest,
        material.captions,
        encoder,
        material.text_features.parent,
        corruption=corruption,
    )
    return replace(material, text_features=text)


def gather(
    source: Source,
    encoders: Encoders,
    captions: Path | None,
    features_root: Path | None,
    *,
    without_captions: bool = False,
) -> Material:
    """Find manifest and captions and make what features are missing."""
    manifest = find_manifest(source)
    root = features_root_of(manifest, features_root)
    text = None
    if not without_captions:
        captions = captions or find_captions(source, manifest)
        text = extract_text(manifest, captions, encoders.load_text(), root)
    image = extract_images(manifest, encoders.load_image(), root)
    return Material(manifest, None if without_captions else captions, image, text)


def features_root_of(manifest: Path, features_root: Path | None) -> Path:
    """Return the folder of the feature sets of a manifest's images."""
    return features_root or Path(read_manifest_info(manifest)[0].image_root) / "features"


def _pickles(run: Path) -> str:
    """Say what to do, also to someone who has weights of another program there."""
    found = [path.name for path in sorted(run.glob("*")) if path.suffix in PICKLES]
    if not found:
        return "; train one with `vprcap train`"
    return (
        f" but {found[0]}: pickle files are not read, because reading one may run anything; "
        "train with `vprcap train`, which writes safetensors"
    )
