"""Evaluate: from a trained combiner and a captioned set to recalls."""

from pathlib import Path

from vprcap.descriptors import MODES
from vprcap.manifest import read_manifest
from vprcap.stages.describe import describe
from vprcap.stages.evaluate import evaluate
from vprcap.workflows.material import Material, encoders_of, gather
from vprcap.workflows.prepare import Source


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
    material = gather(source, encoders_of(run), captions, features_root)
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
