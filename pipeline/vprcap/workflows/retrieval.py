"""Retrieve: from a trained combiner and a set to an index, and from a question to its images."""

import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.combiner.config import read_config
from vprcap.errors import InvalidError, MissingError, StaleArtefactError
from vprcap.files import fingerprint, sha256_of, storage_errors
from vprcap.manifests.manifest import read_manifest
from vprcap.retrieval.descriptors import check_mode
from vprcap.retrieval.index import Index, IndexModel, check_kind, read_index
from vprcap.retrieval.memory import left_of
from vprcap.stages.describe import describe
from vprcap.stages.index import index
from vprcap.stages.query import describe_query
from vprcap.stages.search import search
from vprcap.workflows.material import (
    Encoders,
    Material,
    encoders_of,
    gather,
    read_run,
    warn_of_other_captions,
)
from vprcap.workflows.prepare import Source, find_manifest


@dataclass(frozen=True, slots=True)
class Hit:
    """An image that was found."""

    rank: int
    score: float
    """Inner product of the descriptors: 1 for the same, 0 for unrelated."""
    image_id: str
    easting: float | None
    """Metres; None where the place is not known."""
    northing: float | None
    zone: str | None


def index_set(
    source: Source,
    run: Path,
    output: Path | None = None,
    *,
    kind: str = "flat",
    mode: str = "fused",
    captions: Path | None = None,
    features_root: Path | None = None,
    memory: int,
) -> Path:
    """Describe a set with a trained combiner, index its database images and return the index.

    ``image`` needs no captions. Building keeps to the memory; describing must hold all descriptors.
    """
    check_kind(kind)
    check_mode(mode)
    if mode == "text":
        _refuse_words(run)
    model = read_model(run)
    material = _gather(source, encoders_of(run), mode, captions, features_root)
    warn_of_other_captions(run, material.captions)
    _check_describing(material.manifest, run, memory)
    with storage_errors(run), TemporaryDirectory(dir=run) as scratch:
        described = describe(
            run,
            material.image_features,
            material.text_features,
            Path(scratch) / f"{mode}.safetensors",
            mode=mode,
        )
        return index(
            described,
            material.manifest,
            output or _default_output(run, material.manifest, mode, kind),
            kind=kind,
            mode=mode,
            memory=memory,
            model=model,
            captions=None if material.captions is None else CaptionSet(material.captions).config_id,
        )


def index_descriptors(
    source: Source,
    descriptors: Path,
    output: Path,
    *,
    run: Path | None = None,
    kind: str = "flat",
    mode: str = "fused",
    memory: int,
) -> Path:
    """Index descriptors that `vprcap eval` wrote for a set, of the combiner in `run` if named."""
    model = None if run is None else read_model(run)
    manifest = find_manifest(source)
    return index(descriptors, manifest, output, kind=kind, mode=mode, memory=memory, model=model)


def ask(
    root: Path,
    *,
    image: Path | None = None,
    text: str | None = None,
    run: Path | None = None,
    num_retrieved: int = 10,
    memory: int,
) -> list[Hit]:
    """Find the database images that are most like a picture, words, or a picture with words.

    Args:
        root: the index.
        image: a picture anywhere on disk.
        text: words about the place.
        run: where the combiner of the index is now; default: where it was then.
        num_retrieved: how many images.
        memory: bytes for the whole process.

    Raises:
        MissingError: no index, or the combiner that made it is gone.
        StaleArtefactError: the combiner is not the one that made the index.
        InvalidError: nothing was asked, or it cannot be used.
    """
    if image is None and text is None:
        raise InvalidError("ask for something: --image PATH, --text WORDS, or both")
    opened = read_index(root)
    run = _check_model(opened, run)
    encoders = encoders_of(run)
    if text is not None:
        _refuse_words(run)
    query = describe_query(
        run,
        image=None if image is None else (encoders.load_image(), image),
        text=None if text is None else (encoders.load_text(), text),
    )
    images = opened.images()
    found = search(root, query, num_retrieved, memory=memory)
    pairs = [pair for pair in zip(found.rows[0], found.similarity[0], strict=True) if pair[0] >= 0]
    rows = images.take([row for row, _ in pairs]).to_pylist()
    return [
        Hit(place, float(score), **_without_nan(row))
        for place, ((_, score), row) in enumerate(zip(pairs, rows, strict=True), start=1)
    ]


def _refuse_words(run: Path) -> None:
    if read_run(run).get("captions", "unknown") is None:
        raise InvalidError(
            f"{run} was trained on images alone: words mean nothing to it; ask with --image alone"
        )


def read_model(run: Path) -> IndexModel:
    """Identify the combiner in a run by its weights, its configuration and its encoders.

    Raises:
        MissingError: there is none.
    """
    encoders = encoders_of(run)
    adapters = [each for each in (encoders.image_adapters, encoders.text_adapters) if each]
    files = [run / "model.safetensors", run / "config.json", *adapters]
    for path in files:
        if not path.is_file():
            raise MissingError(f"no file {path}; restore it, or train a combiner")
    sizes = list(encoders.image_size)
    digest = fingerprint([*map(sha256_of, files), encoders.image, encoders.text, sizes])
    return IndexModel(str(run.absolute()), digest, encoders.image, encoders.text)


def _check_model(opened: Index, run: Path | None) -> Path:
    """Return the run that made an index, wherever it is now; refuse any other."""
    made_by = opened.info.model
    if made_by is None:
        raise MissingError(
            f"{opened.root} does not say whose descriptors it holds; index them again with --run"
        )
    run = run or Path(made_by.run)
    if not run.is_dir():
        raise MissingError(
            f"{opened.root} was made by model {made_by.fingerprint[:8]} in {run}, which is gone; "
            "say where it is now with --run, or index again"
        )
    found = read_model(run)
    if found.fingerprint != made_by.fingerprint:
        raise StaleArtefactError(
            f"{opened.root} was made by model {made_by.fingerprint[:8]} of {made_by.run}, the one "
            f"in {run} is {found.fingerprint[:8]}; say --run of the first, or index again"
        )
    return run


def _gather(
    source: Source, encoders: Encoders, mode: str, captions: Path | None, features_root: Path | None
) -> Material:
    """Find or make the features that a mode needs; images alone need no captions."""
    try:
        return gather(source, encoders, captions, features_root, without_captions=mode == "image")
    except MissingError as problem:
        hint = "" if mode == "image" else "; --mode image does without captions"
        raise MissingError(f"{problem}{hint}") from None


def _check_describing(manifest: Path, run: Path, memory: int) -> None:
    """Descriptors are held twice while they are written: refuse before the work, not after."""
    num_images = read_manifest(manifest).rows.num_rows
    held = 2 * 4 * num_images * read_config(run / "config.json").descriptor_dim
    left_of(memory, held, f"describing {num_images:,} images")


def _default_output(run: Path, manifest: Path, mode: str, kind: str) -> Path:
    return run / "index" / f"{read_manifest(manifest).info.name}-{mode}-{kind}"


def _without_nan(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in row.items()
    }
