"""From what a user names (a manifest, a folder, a dataset) to a manifest with a frozen plan."""

from dataclasses import dataclass
from pathlib import Path

from vprcap.errors import InvalidError, MissingError
from vprcap.manifest import read_manifest
from vprcap.plan import plan_path
from vprcap.recipe import load_recipe
from vprcap.stages.scan import scan, scan_dataset
from vprcap.stages.shard import shard


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
    manifest = _captions_root(source, source.path) / f"{source.path.absolute().name}.parquet"
    return manifest if manifest.exists() else scan(source.path, manifest)


def _manifest_of_dataset(source: Source, dataset: str) -> Path:
    split = load_recipe(dataset).split(source.split)
    if source.root is None:
        raise MissingError(f"where is {dataset}? Say --root FOLDER or set VPRCAP_DATA")
    images = source.root / dataset
    if not images.is_dir():
        raise MissingError(f"no folder {images}; unpack {dataset} there or give another --root")
    manifest = _captions_root(source, images) / f"{dataset}-{split}.parquet"
    if manifest.exists():
        return manifest
    return scan_dataset(dataset, images, manifest, split=split, allow_partial=source.allow_partial)


def prepare(source: Source) -> Path:
    """Return the manifest with its plan frozen."""
    manifest = find_manifest(source)
    if not plan_path(manifest).exists():
        shard(manifest)
    return manifest


def captions_root_of(source: Source, manifest: Path) -> Path:
    """Return the folder of the caption sets of a manifest's images."""
    return _captions_root(source, Path(read_manifest(manifest).info.image_root))


def _captions_root(source: Source, images: Path) -> Path:
    return source.captions_root or images / "captions"
