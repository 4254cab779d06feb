"""What training and evaluation work on: a manifest with its captions and cached features."""

from dataclasses import dataclass, replace
from pathlib import Path

from vprcap.caption_set import find_caption_set
from vprcap.corruption import Corruption
from vprcap.encoders import TextEncoder, load_image_encoder, load_text_encoder
from vprcap.manifest import read_manifest
from vprcap.plan import plan_path, read_plan
from vprcap.stages.extract import extract_images, extract_text
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


def corrupted(material: Material, encoder: TextEncoder, corruption: Corruption) -> Material:
    """Give the same images with corrupted captions, whose features are made where missing."""
    text = extract_text(
        material.manifest,
        material.captions,
        encoder,
        material.text_features.parent,
        corruption=corruption,
    )
    return replace(material, text_features=text)


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
