"""Where in a caption set the caption of an image is, by the SHA-256 of the image's bytes.

An Arrow file of 256 record batches, one for each first byte of a hash, each sorted: 16 bytes a row.
It is mapped into memory and searched in place, and made a batch at a time from entries that were
spilled by first byte, so neither takes memory that grows with the set. An index is a cache: it
names the files that it was made of, and is made again when they have changed. A place that it
gives is believed only when the row there bears the whole hash.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.shard_rows import iter_rows
from vprcap.errors import InvalidError, first_line
from vprcap.files import fingerprint, replacing
from vprcap.progress import Progress

_BUCKETS = 256
_ENTRY = np.dtype([("key", "<u8"), ("file", "<u4"), ("row", "<u4")])
_SCHEMA = pa.schema([("key", pa.uint64()), ("file", pa.uint32()), ("row", pa.uint32())])
_MADE_OF = b"vprcap.made_of"
_COPIED = (
    "image_sha256",
    "config_id",
    "status",
    "caption",
    "finish_reason",
    "num_prompt_tokens",
    "num_output_tokens",
    "qa_flags",
    "image_width",
    "image_height",
)

logger = logging.getLogger(__name__)


class ReuseIndex:
    """The good rows of one caption set by image hash; opened, or made where it is out of date."""

    def __init__(self, source: CaptionSet, config_id: str, path: Path) -> None:
        self.name = source.root.name
        self._config_id = config_id
        self._files = source.files()
        made_of = _identity(self._files, config_id)
        reader = _open(path, made_of)
        if reader is None:
            _write(self._files, config_id, path, made_of)
            reader = _open(path, made_of)
        assert reader is not None
        self._reader = reader
        self._held: tuple[Path, int, pa.Table] | None = None

    def find(self, sha256: str) -> dict[str, Any] | None:
        """Return what the set says of an image, None if nothing good.

        Raises:
            InvalidError: a file of the set is damaged or gone.
        """
        key = int(sha256[:16], 16)
        batch = self._reader.get_batch(key >> 56)
        keys = batch["key"].to_numpy()
        for place in range(int(np.searchsorted(keys, np.uint64(key))), len(keys)):
            if keys[place] != key:
                break
            row = self._read(batch["file"][place].as_py(), batch["row"][place].as_py())
            if row is not None and self._is_of(row, sha256):
                return row
        return None

    def _is_of(self, row: dict[str, Any], sha256: str) -> bool:
        wanted = {"image_sha256": sha256, "config_id": self._config_id, "status": "ok"}
        return {name: row[name] for name in wanted} == wanted

    def _read(self, file: int, row: int) -> dict[str, Any] | None:
        """Read one row; neighbours are often asked for next, so their row group is kept."""
        path = self._files[file] if file < len(self._files) else None
        if path is None:
            return None
        held = self._held
        if held is None or held[0] != path or not 0 <= row - held[1] < held[2].num_rows:
            held = self._held = _row_group(path, row)
        found: list[dict[str, Any]] = held[2].slice(row - held[1], 1).to_pylist()
        return found[0] if found else None


def _row_group(path: Path, row: int) -> tuple[Path, int, pa.Table]:
    """Read the row group that holds a row; give it with its first row."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            start = 0
            for group in range(file.num_row_groups - 1):
                after = start + file.metadata.row_group(group).num_rows
                if row < after:
                    return path, start, file.read_row_group(group, list(_COPIED))
                start = after
            return path, start, file.read_row_group(file.num_row_groups - 1, list(_COPIED))
    except (pa.ArrowException, OSError) as problem:
        raise InvalidError(f"cannot read {path} ({first_line(problem)})") from None


def _identity(files: list[Path], config_id: str) -> str:
    stats = [(path.name, path.stat()) for path in files]
    return fingerprint([config_id, [[name, s.st_size, s.st_mtime_ns] for name, s in stats]])


def _open(path: Path, made_of: str) -> pa.RecordBatchFileReader | None:
    """Map an index into memory; None if it is absent, damaged or out of date."""
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
    except (pa.ArrowException, OSError):
        return None
    known = (reader.schema.metadata or {}).get(_MADE_OF) == made_of.encode()
    return reader if known and reader.num_record_batches == _BUCKETS else None


def _write(files: list[Path], config_id: str, path: Path, made_of: str) -> None:
    schema = _SCHEMA.with_metadata({_MADE_OF: made_of})
    with replacing(path) as temporary, _spilled(files, config_id, path.parent) as buckets:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for bucket in buckets:
                entries = np.sort(np.fromfile(bucket, _ENTRY), order=["key", "file", "row"])
                columns = [pa.array(entries[name].copy()) for name in schema.names]
                writer.write_batch(pa.record_batch(columns, schema=schema))


@contextmanager
def _spilled(files: list[Path], config_id: str, folder: Path) -> Iterator[list[Path]]:
    """Give entries by the first byte of their hash, in files that are gone afterwards."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".", suffix=".runs") as spilled:
        paths = [Path(spilled, f"{k:02x}") for k in range(_BUCKETS)]
        with ExitStack() as opened:
            streams = [opened.enter_context(path.open("wb")) for path in paths]
            for entries in _entries(files, config_id):
                first = (entries["key"] >> np.uint64(56)).astype(np.intp)
                ordered = entries[np.argsort(first, kind="stable")]
                ends = np.cumsum(np.bincount(first, minlength=_BUCKETS))
                for stream, part in zip(streams, np.split(ordered, ends[:-1]), strict=True):
                    stream.write(part.tobytes())
        yield paths


def _entries(files: list[Path], config_id: str) -> Iterator[np.ndarray]:
    """Yield the entries of the good rows; damaged files are left out, with one warning."""
    damaged = []
    with Progress("looking for captions to reuse", len(files), "files") as progress:
        for number, path in enumerate(files):
            start = 0
            try:
                for rows in iter_rows(path, ["image_sha256", "status", "config_id"]):
                    yield _entries_of(rows, config_id, number, start)
                    start += rows.num_rows
            except InvalidError as problem:
                damaged.append(problem)
            progress.advance()
    if damaged:
        logger.warning("captions of %d files are not reused: %s", len(damaged), damaged[0])


def _entries_of(rows: pa.Table, config_id: str, file: int, start: int) -> np.ndarray:
    named = pc.match_substring_regex(rows["image_sha256"], "^[0-9a-f]{64}$")
    ours = pc.equal(rows["config_id"].cast(pa.string()), config_id)
    good = pc.and_(pc.and_(named, ours), pc.equal(rows["status"], "ok"))
    kept = np.flatnonzero(good.fill_null(False).to_numpy())
    heads = pc.utf8_slice_codeunits(rows["image_sha256"].take(kept), 0, 16).to_pylist()
    entries = np.empty(len(kept), _ENTRY)
    entries["key"] = np.frombuffer(bytes.fromhex("".join(heads)), ">u8")
    entries["file"], entries["row"] = file, start + kept
    return entries
