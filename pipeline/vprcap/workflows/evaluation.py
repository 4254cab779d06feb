"""Evaluate: from a trained combiner and a captioned set to recalls."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vprcap.caption_set import CaptionSet
from vprcap.corruption import Corruption
from vprcap.descriptors import MODES, QUERY_MODES
from vprcap.encoders import load_text_encoder
from vprcap.errors import InvalidError, MissingError
from vprcap.files import read_json
from vprcap.manifest import read_manifest
from vprcap.stages.describe import describe
from vprcap.stages.evaluate import evaluate
from vprcap.stages.explain import explain
from vprcap.workflows.material import Encoders, Material, corrupted, gather
from vprcap.workflows.prepare import Source

logger = logging.getLogger(__name__)


def evaluate_combiner(
    source: Source,
    run: Path,
    output: Path | None = None,
    *,
    captions: Path | None = None,
    features_root: Path | None = None,
    corruption: Corruption | None = None,
) -> Path:
    """Evaluate a trained combiner on a set and return ``results.json``."""
    material = find_material(source, run, captions, features_root)
    folder = evaluation_folder(material, run)
    if corruption is not None and corruption.kind != "none":
        encoder = load_text_encoder(encoders_of(run).text)
        material = corrupted(material, encoder, corruption)
        folder = folder.with_name(f"{folder.name}-{corruption.name}")
    return score(material, run, output or folder)


def score(material: Material, run: Path, output: Path) -> Path:
    """Describe and evaluate a set in every mode; return ``results.json``.

    Caption gates, word by word, are written beside it as ``gates.parquet``.
    """
    described = describe_modes(material, run, output, MODES)
    modes = {
        name: (described[queries], described[database])
        for name, (queries, database) in QUERY_MODES.items()
    }
    results = evaluate(material.manifest, modes, output)
    explain(material.manifest, material.text_features, described["fused"], output / "gates.parquet")
    return results


def describe_modes(
    material: Material, run: Path, folder: Path, modes: Iterable[str]
) -> dict[str, Path]:
    """Describe a set in some modes; give the file of each."""
    return {
        mode: describe(
            run,
            material.image_features,
            material.text_features,
            folder / f"{mode}.safetensors",
            mode=mode,
        )
        for mode in modes
    }


def find_material(
    source: Source, run: Path, captions: Path | None, features_root: Path | None
) -> Material:
    """Find what a trained combiner is to be evaluated on; warn where its captions are unlike."""
    material = gather(source, encoders_of(run), captions, features_root)
    trained = read_run(run).get("captions")
    found = read_json(CaptionSet(material.captions).config_json)["config_id"]
    if trained is not None and trained != found:
        logger.warning(
            "%s was trained on captions of configuration %s, and %s is of %s: text may be worth "
            "less than it could be",
            run,
            trained[:8],
            material.captions.name,
            found[:8],
        )
    return material


def evaluation_folder(material: Material, run: Path) -> Path:
    """Return where the results of a set lie unless another folder is named."""
    return run / "eval" / read_manifest(material.manifest).info.name


def encoders_of(run: Path) -> Encoders:
    """Give the encoders that a combiner was trained with."""
    trained = read_run(run)
    return Encoders(trained["image_encoder"], trained["text_encoder"])


def read_run(run: Path) -> dict[str, Any]:
    """Read how a combiner was trained.

    Raises:
        MissingError: there is no trained combiner.
        InvalidError: the run does not name its encoders.
    """
    path = run / "run.json"
    if not path.is_file():
        raise MissingError(f"no trained combiner in {run}; train one with `vprcap train`")
    trained: dict[str, Any] = read_json(path)
    if not {"image_encoder", "text_encoder"} <= trained.keys():
        raise InvalidError(f"{path} does not name the encoders; train again")
    return trained
