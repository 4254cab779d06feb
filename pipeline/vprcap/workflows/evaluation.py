"""Evaluate: from a trained combiner and a captioned set to recalls."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.evaluation.corruption import Corruption
from vprcap.evaluation.provenance import Provenance, build_provenance, write_provenance
from vprcap.files import read_json
from vprcap.ground_truth.health import twins_of
from vprcap.manifests.manifest import read_manifest
from vprcap.retrieval.descriptors import MODES, QUERY_MODES
from vprcap.stages.describe import describe
from vprcap.stages.evaluate import evaluate
from vprcap.stages.explain import explain
from vprcap.stages.score import score as score_saved
from vprcap.stages.weigh_twins import weigh_twins
from vprcap.workflows.material import (
    Material,
    corrupted,
    encoders_of,
    gather,
    read_run,
    warn_of_other_captions,
    warn_of_training_set,
)
from vprcap.workflows.prepare import Source, find_manifest

GATES = "gates.parquet"
logger = logging.getLogger(__name__)


def evaluate_combiner(
    source: Source,
    run: Path,
    output: Path | None = None,
    *,
    captions: Path | None = None,
    features_root: Path | None = None,
    corruption: Corruption | None = None,
    drop_twins: bool = False,
    command: str | None = None,
) -> Path:
    """Evaluate a trained combiner on a set and return ``results.json``.

    With `drop_twins` the set is evaluated again without database images that are a twin of a query;
    ``twins.json`` beside it, with both results and their difference, is returned. `command` is what
    was typed to get here.
    """
    if drop_twins:  # say what is missing before anything is described
        manifest = find_manifest(source)
        twins_of(manifest)
        source = replace(source, path=manifest, dataset=None)
    material = find_material(source, run, captions, features_root)
    folder, variant = evaluation_folder(material, run), None
    if corruption is not None and corruption.kind != "none":
        material = corrupted(material, encoders_of(run).load_text(), corruption)
        folder = folder.with_name(f"{folder.name}-{corruption.name}")
        variant = corruption.variant
    return score(
        material, run, output or folder, drop_twins=drop_twins, variant=variant, command=command
    )


def evaluate_saved(
    source: Source,
    descriptors: Path,
    output: Path | None = None,
    *,
    names: Path | None = None,
    command: str | None = None,
) -> Path:
    """Evaluate descriptors that another program saved, and return ``results.json``."""
    manifest = find_manifest(source)
    folder = output or descriptors / "eval" / read_manifest(manifest).info.name
    _forget(folder)
    results = score_saved(manifest, descriptors, folder, names=names)
    write_provenance(folder, build_provenance(manifest, command=command))
    return results


def score(
    material: Material,
    run: Path,
    output: Path,
    *,
    drop_twins: bool = False,
    variant: str | None = None,
    command: str | None = None,
) -> Path:
    """Describe and evaluate a set in every mode that its material allows; return the results.

    Caption gates, word by word, are written beside it as ``gates.parquet``; what was found without
    twins of queries, if that is asked for, in ``without-twins/``.
    """
    alone = material.text_features is None
    described = describe_modes(material, run, output, ["image"] if alone else MODES)
    modes = {
        name: (described[queries], described[database])
        for name, (queries, database) in QUERY_MODES.items()
        if {queries, database} <= described.keys()
    }
    _forget(output)
    results = evaluate(material.manifest, modes, output, variant=variant)
    made_of = provenance_of(material, run, command)
    write_provenance(output, made_of)
    if material.text_features is not None:
        gates = output / GATES
        explain(material.manifest, material.text_features, described["fused"], gates)
    if not drop_twins:
        return results
    rest = output / "without-twins"
    evaluate(material.manifest, modes, rest, without_twins=True, variant=variant)
    write_provenance(rest, replace(made_of, without_twins=True))
    return weigh_twins(material.manifest, output, rest, output / "twins.json")


def _forget(evaluation: Path) -> None:
    """Remove what an earlier evaluation in the same folder said of its captions."""
    (evaluation / GATES).unlink(missing_ok=True)


def provenance_of(material: Material, run: Path, command: str | None = None) -> Provenance:
    """Say what an evaluation of a run on some material is made of."""
    encoders = encoders_of(run)
    captions = material.captions
    return build_provenance(
        material.manifest,
        run=run,
        encoders={"image": encoders.image, "text": encoders.text},
        captions=captions,
        caption_config=None if captions is None else read_json(CaptionSet(captions).config_json),
        command=command,
    )


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
    """Find what a trained combiner is to be evaluated on; warn where its captions are unlike.

    A combiner that was trained on images alone is evaluated on images alone, unless captions are
    named.
    """
    alone = captions is None and read_run(run).get("captions", "unknown") is None
    material = gather(source, encoders_of(run), captions, features_root, without_captions=alone)
    warn_of_training_set(run, material.manifest)
    warn_of_other_captions(run, material.captions)
    return material


def evaluation_folder(material: Material, run: Path) -> Path:
    """Return where the results of a set lie unless another folder is named."""
    return run / "eval" / read_manifest(material.manifest).info.name
