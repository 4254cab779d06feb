"""Train: from a captioned set to a combiner, through stored features or from the photographs."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.combiner import CombinerConfig
from vprcap.encoders.adapters import AdapterConfig
from vprcap.manifests.manifest import read_manifest
from vprcap.stages.extract import extract_images, extract_text
from vprcap.stages.train import DESCRIPTOR_DIM, train, train_end_to_end
from vprcap.training import TrainConfig
from vprcap.workflows.material import Encoders, features_root_of, find_captions
from vprcap.workflows.prepare import Source, find_manifest


def train_combiner(
    source: Source,
    output: Path,
    *,
    encoders: Encoders,
    captions: Path | None = None,
    without_captions: bool = False,
    features_root: Path | None = None,
    descriptor_dim: int = DESCRIPTOR_DIM,
    parts: Mapping[str, Any] = MappingProxyType({}),
    adapters: AdapterConfig | None = None,
    config: TrainConfig,
) -> Path:
    """Train a combiner on a set and return its folder; with adapters, end to end."""
    CombinerConfig(1, 1, descriptor_dim, **parts)  # a wrong name is told before any work
    manifest = find_manifest(source)
    found = None if without_captions else captions or find_captions(source, manifest)
    provenance = _provenance(manifest, found, encoders, adapters)
    if adapters is not None:
        return train_end_to_end(
            manifest,
            found,
            output,
            image_encoder=encoders.image,
            text_encoder=encoders.text,
            image_size=encoders.image_size,
            adapters=adapters,
            config=config,
            descriptor_dim=descriptor_dim,
            parts=parts,
            provenance=provenance,
        )
    root, text_encoder = features_root_of(manifest, features_root), encoders.load_text()
    text = None if found is None else extract_text(manifest, found, text_encoder, root)
    image = extract_images(manifest, encoders.load_image(), root)
    provenance["material"] |= {"image_features": _absolute(image), "text_features": _absolute(text)}
    return train(
        manifest,
        image,
        text,
        output,
        config=config,
        descriptor_dim=descriptor_dim,
        parts=parts,
        text_dim=text_encoder.dim,
        provenance=provenance,
    )


def _provenance(
    manifest: Path, captions: Path | None, encoders: Encoders, adapters: AdapterConfig | None
) -> dict[str, Any]:
    """Give what a run remembers of what it was made of."""
    kind = None if adapters is None else adapters.kind
    return {
        "image_encoder": encoders.image,
        "text_encoder": encoders.text,
        "image_size": list(encoders.image_size),
        "adapt": kind or "none",
        "adapters": {"image": kind, "text": "bottleneck" if kind and captions else None},
        "trained_on": read_manifest(manifest).info.name,
        "captions": captions and CaptionSet(captions).config_id,
        "caption_set": captions and captions.name,
        "material": {
            "manifest": _absolute(manifest),
            "captions": _absolute(captions),
            "image_features": None,  # made anew for every batch, where adapters are trained
            "text_features": None,
        },
    }


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
