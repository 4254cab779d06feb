"""Rows in any order become a manifest, however many they are: an external merge sort.

Rows are sorted a run at a time, as many as memory may hold, and the runs are spilled beside the
manifest. The manifest is then written range by range of image ids: the rows of one range are
taken off the head of every run, sorted together and appended. All of it is done on whole
columns; only the choice of the ranges looks at single ids, one in thousands.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vprcap.errors import InvalidError
from vprcap.files import replacing
from vprcap.manifests.manifest import (
    MANIFEST_SCHEMA,
    ManifestInfo,
    check_rows,
    complete_rows,
    refuse_to_overwrite,
    schema_metadata,
)

RUN_BYTES = 1 << 26
"""Rows that are sorted in memory at once."""
SPILL_ROWS = 1 << 14
"""Rows that are read of a run at once."""
_RANGE_SPILLS = 16
_GROUP_ROWS = 1 << 17


def write_sorted(batches: Iterable[Mapping[str, pa.Array]], info: ManifestInfo, path: Path) -> Path:
    """Write a manifest, whole or not at all, of rows that come in any order.

    Args:
        batches: manifest columns, some rows at a time; the same columns each time.
        info: what holds for the whole manifest.
        path: the manifest; runs are spilled to a folder beside it, which is gone afterwards.

    Raises:
        InvalidError: no images, duplicate ids, an id that leaves the root, or an unknown role.
        StorageError: the disk is full.
    """
    refuse_to_overwrite(path)
    schema = MANIFEST_SCHEMA.with_metadata(schema_metadata(info))
    with (
        replacing(path) as temporary,
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".", suffix=".runs") as spilled,
    ):
        runs = [_spill(rows, Path(spilled, str(k))) for k, rows in enumerate(_in_runs(batches))]
        if not runs:
            raise InvalidError(f"no images found for {info.name!r} under {info.image_root}")
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for rows in _merged(runs):
                check_rows(rows)
                writer.write_table(rows, row_group_size=_GROUP_ROWS)
    return path


def _in_runs(batches: Iterable[Mapping[str, pa.Array]]) -> Iterator[pa.Table]:
    """Put batches together until they are as much as may be sorted at once."""
    held: list[pa.Table] = []
    for columns in batches:
        held.append(pa.table(dict(columns)))
        if sum(rows.nbytes for rows in held) >= RUN_BYTES:
            yield pa.concat_tables(held)
            held = []
    if sum(map(len, held)):
        yield pa.concat_tables(held)


class _Run:
    """Sorted rows on disk, taken off their head."""

    def __init__(self, path: Path, heads: list[str]) -> None:
        self.heads = heads
        """The first image id of each spill."""
        self._path = path
        self._next = 0
        self._held: pa.Table | None = None

    def take(self, end: str | None) -> list[pa.Table]:
        """Take the rows before image id `end`, or all that are left."""
        taken = []
        while self._fill():
            assert self._held is not None
            ids = self._held["image_id"]
            num_rows = len(ids) if end is None else pc.sum(pc.less(ids, end)).as_py()
            taken.append(self._held[:num_rows])
            self._held = self._held[num_rows:]
            if len(self._held):
                break
        return taken

    def _fill(self) -> bool:
        """Read on where nothing is held, and say whether there is anything."""
        if self._held is None or not len(self._held):
            if self._next == len(self.heads):
                return False
            with pa.OSFile(str(self._path)) as file:
                batch = pa.ipc.open_file(file).get_batch(self._next)
            self._held = pa.Table.from_batches([batch])
            self._next += 1
        return True


def _spill(rows: pa.Table, path: Path) -> _Run:
    rows = rows.sort_by("image_id")
    check_rows(complete_rows({name: rows[name] for name in rows.column_names}))
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, rows.schema, options=options) as writer,
    ):
        writer.write_table(rows.combine_chunks(), max_chunksize=SPILL_ROWS)
    return _Run(path, rows["image_id"][::SPILL_ROWS].to_pylist())


def _merged(runs: list[_Run]) -> Iterator[pa.Table]:
    """Yield ranges of rows in order, each sorted.

    A range is cut where so many spills begin, so it is at most that many spills long and one more
    for each run.
    """
    heads = sorted(head for run in runs for head in run.heads)
    for end in (*heads[_RANGE_SPILLS::_RANGE_SPILLS], None):
        parts = [rows for run in runs for rows in run.take(end)]
        if parts:
            rows = pa.concat_tables(parts)
            yield complete_rows({name: rows[name] for name in rows.column_names}).sort_by(
                "image_id"
            )
