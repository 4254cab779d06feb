"""The journal of a shard: rows that are captioned and not yet committed.

Each line is a checksum and a JSON row. A worker appends to a file of its own, named by its lease
token, so a worker whose lease was stolen while it slept cannot tear the journal of its successor.
Every batch is handed to the system at once (a killed process loses nothing that was appended) and
forced to the disk every 30 seconds (a dead machine loses at most that).
"""

import json
import os
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vprcap.fault_points import passing
from vprcap.files import storage_errors

FSYNC_SECONDS = 30.0


class Journal:
    """Append-only rows of one shard, written by one worker."""

    def __init__(self, folder: Path, stem: str, token: str) -> None:
        self.path = journal_path(folder, stem, token)
        with storage_errors(self.path):
            passing("journal.open")
            self._stream = self.path.open("ab", buffering=0)
        self._synced = time.monotonic()

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows in one write."""
        with storage_errors(self.path):
            self._write(b"".join(map(_line, rows)))
            if time.monotonic() - self._synced > FSYNC_SECONDS:
                self._sync()

    def _write(self, data: bytes) -> None:
        written = 0
        while written < len(data):  # a nearly full disk may take only a part
            passing("journal.write")
            written += self._stream.write(data[written:]) or 0

    def _sync(self) -> None:
        passing("journal.fsync")
        os.fsync(self._stream.fileno())
        self._synced = time.monotonic()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        with storage_errors(self.path), self._stream:
            self._sync()


def journal_path(folder: Path, stem: str, token: str) -> Path:
    """Return where one worker journals a shard."""
    return folder / f"{stem}.{token}.jsonl"


def read_journals(folder: Path, stem: str) -> dict[str, dict[str, Any]]:
    """Return the rows of a shard from all its journals by image id; the first row of an image wins.

    Reading stops at the first line of a file that is torn or does not match its checksum: what
    follows was never acknowledged.
    """
    rows: dict[str, dict[str, Any]] = {}
    for path in _journals(folder, stem):
        for row in _valid_rows(path.read_bytes().split(b"\n")):
            rows.setdefault(row["image_id"], row)
    return rows


def remove_journals(folder: Path, stem: str) -> None:
    """Remove the journals of a committed shard."""
    for path in _journals(folder, stem):
        with storage_errors(path):
            passing("journal.remove")
            path.unlink(missing_ok=True)


def _journals(folder: Path, stem: str) -> list[Path]:
    return sorted(folder.glob(f"{stem}.*.jsonl"))


def _line(row: Mapping[str, Any]) -> bytes:
    text = json.dumps(row, ensure_ascii=True).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _valid_rows(lines: Sequence[bytes]) -> Iterable[dict[str, Any]]:
    for line in lines[:-1]:  # the last piece has no newline: empty, or torn
        checksum, _, text = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            return
        yield json.loads(text)
