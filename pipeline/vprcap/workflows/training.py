"""Train: from a captioned set to a combiner, through features that are made once."""

from pathlib import Path

from vprcap.caption_set import CaptionSet
from vprcap.files import read_json
from vprcap.manifest import read_manifest
from vprcap.stages.train import DESCRIPTOR_DIM, train
from vprcap.training import TrainConfig
from vprcap.workflows.material import Encoders, gather
from vprcap.workflows.prepare import Source


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
        "caption_set": material.captions.name,
        "material": {
            "manifest": str(material.manifest.absolute()),
            "image_features": str(material.image_features.absolute()),
            "text_features": str(material.text_features.absolute()),
        },
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


def _config_id(captions: Path) -> str:
    config_id: str = read_json(CaptionSet(captions).config_json)["config_id"]
    return config_id
