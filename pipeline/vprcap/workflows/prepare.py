"""From what a user names (a manifest, a folder, a dataset) to a manifest with a frozen plan."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from vprcap.errors import InvalidError, MissingError, StaleArtefactError
from vprcap.manifests.layouts.folder import image_ids_below
from vprcap.manifests.manifest import ManifestInfo, iter_image_ids, read_manifest_info
from vprcap.manifests.plan import plan_path
from vprcap.manifests.recipe import load_recipe
from vprcap.manifests.rule import WITHIN_25_M, PositiveRule
from vprcap.manifests.sorted_ids import compare
from vprcap.stages.scan import scan, scan_dataset
from vprcap.stages.shard import shard

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """What a user said about the images: exactly one of `path` and `dataset`."""

    path: Path | None = None
    """A manifest, or a folder of images."""
    dataset: str | None = None
    root: Path | None = None
    """Folder that holds the datasets, one folder each."""
    split: str | None = None
    captions_root: Path | None = None
    allow_partial: bool = False


def find_manifest(source: Source) -> Path:
    """Return the manifest, scanning first where there is none yet.

    A scanned manifest is kept in the captions root: nothing else in the image folder is touched.
    """
    if (source.path is None) == (source.dataset is None):
        raise InvalidError("name either a MANIFEST (or folder of images) or --dataset NAME")
    if source.dataset is not None:
        return _manifest_of_dataset(source, source.dataset)
    assert source.path is not None
    if not source.path.is_dir():
        return source.path
    manifest = captions_root_of(source, source.path) / f"{source.path.absolute().name}.parquet"
    if not manifest.exists():
        return scan(source.path, manifest)
    _of_folder(manifest, source.path)
    found = [pa.array(image_ids_below(source.path), pa.string())]
    added = [new for new, _ in compare(found, iter_image_ids(manifest)) if len(new)]
    if added:
        logger.warning(
            "%d images were added to %s since it was scanned, first %s; they are left out: "
            "scan it to a new manifest to caption them",
            sum(map(len, added)),
            source.path,
            ascii(added[0][0].as_py()),
        )
    return manifest


def scan_source(
    source: Source,
    output: Path | None,
    *,
    table: Path | None = None,
    columns: Mapping[str, str] | None = None,
    pairs: Path | None = None,
    rule: PositiveRule = WITHIN_25_M,
) -> Path:
    """Scan a folder or a dataset, also where it was scanned before, and return the manifest.

    Args:
        source: a folder of images, or a dataset.
        output: manifest to write; that of a dataset may be left to vprcap.
        table: which images of a folder belong to the set.
        columns: our column name -> the table's, where they differ.
        pairs: lists the positives of one's own images.
        rule: what a positive is; a dataset's recipe says it for itself.
    """
    if source.dataset is not None and source.path is None:
        if table is not None or columns or pairs is not None or rule != WITHIN_25_M:
            raise InvalidError(
                "--table, --column, --pairs and --positives are for one's own images; the recipe "
                f"of {source.dataset} says all of that"
            )
        images, manifest = _place_of_dataset(source, source.dataset)
        return scan_dataset(
            source.dataset,
            images,
            output or manifest,
            split=source.split,
            allow_partial=source.allow_partial,
        )
    if source.path is None or source.dataset is not None or output is None:
        raise InvalidError("name either IMAGES and --output MANIFEST, or --dataset NAME")
    return scan(source.path, output, table=table, columns=columns, pairs=pairs, rule=rule)


def _place_of_dataset(source: Source, dataset: str) -> tuple[Path, Path]:
    """Return where a dataset lies, and where the manifest of its split is kept."""
    recipe = load_recipe(dataset)
    split = recipe.split(source.split)
    if source.root is None:
        raise MissingError(f"where is {dataset}? Say --root FOLDER or set VPRCAP_DATA")
    images = source.root / recipe.folder
    if not images.is_dir():
        raise MissingError(f"no folder {images}; unpack {dataset} there or give another --root")
    return images, captions_root_of(source, images) / f"{recipe.set_name(split)}.parquet"


def _manifest_of_dataset(source: Source, dataset: str) -> Path:
    images, manifest = _place_of_dataset(source, dataset)
    if manifest.exists():
        stored, rule = _of_folder(manifest, images), load_recipe(dataset).rule
        if stored.rule != rule:
            raise StaleArtefactError(
                f"{manifest} has {stored.rule}, and the recipe now {rule}; scan it again with "
                f"`vprcap scan --dataset {dataset}`, which replaces it"
            )
        if stored.partial:
            logger.warning(
                "%s was accepted as partial, and so are its results; remove it to scan again",
                manifest,
            )
        return manifest
    return scan_source(source, manifest)


def _of_folder(manifest: Path, images: Path) -> ManifestInfo:
    """Read about a manifest that was found by its name; refuse that of another folder."""
    stored, _ = read_manifest_info(manifest)
    if Path(stored.image_root) != images.absolute():
        raise StaleArtefactError(
            f"{manifest} is of images in {stored.image_root}, not in {images.absolute()}; "
            "remove it, or give another --captions-root"
        )
    return stored


def prepare(source: Source) -> Path:
    """Return the manifest with its plan frozen."""
    manifest = find_manifest(source)
    if not plan_path(manifest).exists():
        shard(manifest)
    return manifest


def captions_root_of(source: Source, images: Path) -> Path:
    """Return the folder of the caption sets of an image root."""
    return source.captions_root or images / "captions"
