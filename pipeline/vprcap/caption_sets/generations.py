"""Generations of a caption set's rows: a new one is built aside, whole, and named by one rename.

A generation is a folder: shard parts that workers add to, or compacted files that nobody does.
Whoever makes one holds the set's own lease. Should it sleep so long that another takes the lease
over, that other clears the unfinished folder away first, so the rename of the sleeper fails: it
can never put old rows in front of newer ones. A folder that has its name is never changed back,
and what is removed is only ever older than what is read.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import PARQUET
from vprcap.caption_sets.shard_rows import iter_shards
from vprcap.commit_protocol.lease import claim, read_holder
from vprcap.errors import BusyError
from vprcap.fault_points import passing
from vprcap.files import fsync, fsync_folder, storage_errors
from vprcap.progress import Progress

_UNFINISHED, _RUBBISH = "generation", "rubbish"


@contextmanager
def changing(captions: CaptionSet) -> Iterator[CaptionSet]:
    """Hold a set against other compactions and retries; give it bound to its newest generation.

    Raises:
        BusyError: another process is changing it.
    """
    with storage_errors(captions.staging):
        captions.own_lease.parent.mkdir(exist_ok=True)
        captions.staging.mkdir(exist_ok=True)
    lease = claim(captions.own_lease)
    if lease is None:
        holder = read_holder(captions.own_lease)
        raise BusyError(
            f"{captions.root.name} is being compacted or retried by {holder or 'another process'}; "
            "wait for it"
        )
    with lease:
        _clear(captions)
        yield captions.now()


@contextmanager
def next_generation(captions: CaptionSet) -> Iterator[Path]:
    """Give an empty folder; when the body ends well it becomes the newest generation.

    Raises:
        BusyError: another process took over in the meantime.
    """
    final = captions.folder(captions.newest() + 1)
    building = captions.staging / f"{_UNFINISHED}.{uuid.uuid4().hex}"
    with storage_errors(building):
        building.mkdir()
    try:
        yield building
        with storage_errors(final):
            fsync_folder(building)
        _publish(building, final)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _publish(building: Path, final: Path) -> None:
    try:
        passing("generations.publish")
        os.rename(building, final)
    except OSError:  # it was cleared away, or the number is taken
        raise BusyError(
            f"{final.parent.name} was changed by another process in the meantime; run again"
        ) from None
    fsync_folder(final.parent)


def expand(captions: CaptionSet) -> CaptionSet:
    """Make shard parts of compacted rows again, as the next generation; give the set bound to it.

    Raises:
        InvalidError: a compacted file is damaged; nothing has changed then.
        BusyError: another process took over in the meantime.
    """
    with (
        next_generation(captions) as folder,
        Progress("expanding", captions.covers().num_images, "rows") as progress,
    ):
        for shard, rows in iter_shards(captions):
            path = folder / captions.part(shard).name
            with storage_errors(path):
                pq.write_table(rows, path, **PARQUET)
                fsync(path)
            progress.advance(rows.num_rows)
    return captions.now()


def remove_older(captions: CaptionSet, than: int) -> list[Path]:
    """Remove the generations before one, and return their folders."""
    removed = [captions.folder(each) for each in captions.generations() if each < than]
    for folder in removed:
        _discard(captions, folder)
    return removed


def _clear(captions: CaptionSet) -> None:
    """Remove what killed compactions left."""
    for folder in captions.staging.glob(f"{_UNFINISHED}.*"):
        _discard(captions, folder)
    for folder in captions.staging.glob(f"{_RUBBISH}.*"):
        shutil.rmtree(folder, ignore_errors=True)


def _discard(captions: CaptionSet, folder: Path) -> None:
    """Take the name away in one step, then the files: no half of it is ever taken for the whole."""
    rubbish = captions.staging / f"{_RUBBISH}.{uuid.uuid4().hex}"
    with storage_errors(folder):
        try:
            passing("generations.discard")
            os.rename(folder, rubbish)
        except FileNotFoundError:
            return
        shutil.rmtree(rubbish, ignore_errors=True)
