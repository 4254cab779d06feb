"""An index on disk: descriptors of a set, which images they are of, and whose descriptors.

    <index>/
        descriptors.npy   float32 (images, dim), unit vectors; read in pieces, never loaded
        images.parquet    image_id and position of each row
        codes.npy         binary: uint8 (images, dim / 8)     centre.npy   its thresholds
        index.faiss       hnsw, ivf-pq: what proposes rows
        index.json        what it was made of; written last, so it exists only if the rest is whole

Whatever the kind, what is found is ordered by the inner product of the descriptors themselves.
faiss's file format is read by C++ code that trusts it, so `index.faiss` is opened only if its
bytes are those that `index.json` was written for. That tells damage, not malice: open no ``hnsw``
or ``ivf-pq`` index of someone you do not trust. Nothing here is a pickle.
"""

import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32

from vprcap import __version__
from vprcap.errors import InvalidError, MissingError, StaleArtefactError, first_line
from vprcap.files import fsync_folder, read_json, replacing, sha256_of, storage_errors, write_json
from vprcap.manifests.manifest import check_plain
from vprcap.retrieval.vectors import StoredVectors, read_npy

KINDS = ("flat", "hnsw", "ivf-pq", "binary")
_FORMAT = 1
_HASHED = ("images.parquet", "index.faiss", "centre.npy")
"""Files that are read as a whole anyway; the others are checked by their size."""
_FILES = {
    "flat": ("descriptors.npy", "images.parquet"),
    "hnsw": ("descriptors.npy", "images.parquet", "index.faiss"),
    "ivf-pq": ("descriptors.npy", "images.parquet", "index.faiss"),
    "binary": ("descriptors.npy", "images.parquet", "codes.npy", "centre.npy"),
}


def check_kind(kind: str) -> None:
    """Refuse a kind that is not there."""
    if kind not in KINDS:
        raise InvalidError(f"no index kind {kind!r}; there are: {', '.join(KINDS)}")


@dataclass(frozen=True, slots=True)
class IndexModel:
    """The trained combiner whose descriptors an index holds."""

    run: str
    """Absolute folder where it was."""
    fingerprint: str
    """Hex SHA-256 of its weights and configuration."""
    image_encoder: str
    text_encoder: str


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """What an index is and what it was made of."""

    kind: str
    mode: str
    """How images were described: ``fused``, ``image`` or ``text``."""
    count: int
    dim: int
    manifest: str
    """Name of the set."""
    model: IndexModel | None
    """None where descriptors were indexed without saying whose they are."""
    captions: str | None
    """Config id of the caption set; None where the images have none."""
    metric: str = "inner product"
    vprcap: str = __version__


@dataclass(frozen=True, slots=True)
class Index:
    """An index whose files are there and belong together."""

    root: Path
    info: IndexInfo

    @property
    def faiss(self) -> Path:
        """What proposes rows of an ``hnsw`` or ``ivf-pq`` index."""
        return self.root / "index.faiss"

    @property
    def descriptors(self) -> StoredVectors:
        """The vectors themselves.

        Raises:
            InvalidError: the file is damaged.
        """
        stored = read_npy(self.root / "descriptors.npy", np.float32)
        if stored.shape != (self.info.count, self.info.dim):
            raise InvalidError(
                f"{stored.path} holds {stored.shape[0]} vectors of {stored.shape[1]} numbers, "
                f"index.json says {self.info.count} of {self.info.dim}; make the index again"
            )
        return stored

    @property
    def codes(self) -> StoredVectors:
        """Codes of a ``binary`` index."""
        return read_npy(self.root / "codes.npy", np.uint8)

    @property
    def centre(self) -> Float32[np.ndarray, " bits"]:
        """Thresholds of the bits of a ``binary`` index."""
        stored = read_npy(self.root / "centre.npy", np.float32)
        centre: np.ndarray = stored.take(np.zeros(1, dtype=np.int64))[0]
        return centre

    def images(self) -> pa.Table:
        """Return image_id, easting, northing and zone in row order.

        Raises:
            InvalidError: the table is damaged, or names files outside its image root.
        """
        path = self.root / "images.parquet"
        try:
            table = pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as problem:
            raise InvalidError(f"{path} is damaged ({first_line(problem)}); index again") from None
        if table.num_rows != self.info.count:
            raise InvalidError(f"{path} has {table.num_rows} rows, not {self.info.count}")
        check_plain(table["image_id"])
        return table


@contextmanager
def building(root: Path) -> Iterator[Path]:
    """Give a folder to build in; when the body ends well it becomes `root`.

    Raises:
        InvalidError: `root` is there and holds something else than an index.
    """
    root = root.absolute()
    _refuse_others(root)
    folder, replaced = (root.with_name(f".{uuid.uuid4().hex}.tmp") for _ in range(2))
    with storage_errors(root):
        folder.mkdir(parents=True)
        try:
            yield folder
            if root.exists():
                root.rename(replaced)
            folder.rename(root)
            fsync_folder(root.parent)
        finally:
            for leftover in (folder, replaced):
                shutil.rmtree(leftover, ignore_errors=True)


def _refuse_others(root: Path) -> None:
    if root.is_file():
        raise InvalidError(f"{root} is a file; give --output a folder of its own")
    ours = {name for names in _FILES.values() for name in names} | {"index.json"}
    others = sorted({path.name for path in root.iterdir()} - ours) if root.is_dir() else []
    if others:
        raise InvalidError(
            f"{root} holds {others[0]!r}, which is no index; choose another --output"
        )


def write_images(root: Path, images: pa.Table) -> None:
    """Write which image each row is of."""
    with replacing(root / "images.parquet") as temporary:
        pq.write_table(images, temporary, compression="zstd", write_page_checksum=True)


def finish(root: Path, info: IndexInfo) -> Path:
    """Declare an index whole, with the sizes and hashes of its files."""
    files = {name: _state(root / name) for name in _FILES[info.kind]}
    write_json(root / "index.json", {"format": _FORMAT, **asdict(info), "files": files})
    return root


def read_index(root: Path) -> Index:
    """Open an index after checking that its files are those that were written.

    Raises:
        MissingError: there is no index, or a file of it is gone.
        InvalidError: it is something else, or a file is damaged.
        StaleArtefactError: a later version of vprcap wrote it.
    """
    if root.is_file():
        raise InvalidError(f"{root} is a file; an index is a folder that `vprcap index` makes")
    if not (root / "index.json").is_file():
        raise MissingError(f"no finished index in {root}; make one with `vprcap index`")
    stored = read_json(root / "index.json")
    try:
        version, files = stored.pop("format"), stored.pop("files")
        model = stored.pop("model")
        info = IndexInfo(model=None if model is None else IndexModel(**model), **stored)
        names = _FILES[info.kind]
        states = {name: files[name] for name in names}
    except (AttributeError, KeyError, TypeError):
        raise InvalidError(f"{root}/index.json describes no index; make it again") from None
    if version != _FORMAT:
        raise StaleArtefactError(f"{root} has format {version}, not {_FORMAT}; make it again")
    _check_files(root, states)
    return Index(root, info)


def _check_files(root: Path, states: Mapping[str, Mapping[str, Any]]) -> None:
    for name, state in states.items():
        if not (root / name).is_file():
            raise MissingError(f"{root} lacks {name}; make the index again")
        found = _state(root / name)
        if found != state:
            raise InvalidError(
                f"{root / name} is not the file that was written ({found['bytes']:,} bytes, "
                f"then {state.get('bytes')}); it is damaged: make the index again"
            )


def _state(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = {"bytes": path.stat().st_size}
    return {**state, "sha256": sha256_of(path)} if path.name in _HASHED else state
