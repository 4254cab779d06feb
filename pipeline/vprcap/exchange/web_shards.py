"""Captions and images as WebDataset shards: tar files that are read from front to end.

A sample is an image and two texts of one key. Keys are numbers, since a reader cuts a name at its
first dot and ``@`` names have several; what an image is called is in the sample's JSON. A member's
suffix says what the bytes are, since readers decode by it. Images are copied byte by byte, one
after the other.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from vprcap.exchange.captioned import Captioned
from vprcap.exchange.folder import new_folder
from vprcap.progress import Progress

SHARD_BYTES = 10**9
"""A shard that has grown to this is followed by the next."""


def write_web_shards(captioned: Captioned, output: Path, *, shard_bytes: int = SHARD_BYTES) -> Path:
    """Write a folder of shards ``captions-000000.tar`` and on."""
    samples = enumerate(captioned)
    with (
        new_folder(output) as folder,
        Progress("packing", len(captioned.image_ids), "images") as progress,
    ):
        left, number = len(captioned.image_ids), 0
        while left:
            with tarfile.open(folder / f"captions-{number:06d}.tar", "w") as shard:
                written = _fill(shard, captioned, samples, shard_bytes, progress)
            left, number = left - written, number + 1
    return output


def _fill(
    shard: tarfile.TarFile,
    captioned: Captioned,
    samples: Iterator[tuple[int, tuple[str, str]]],
    shard_bytes: int,
    progress: Progress,
) -> int:
    """Add samples until the shard is full, and say how many there were."""
    for written, (number, (image_id, caption)) in enumerate(samples, 1):
        key = f"{number:09d}"
        with captioned.path(image_id).open("rb") as image:
            _add(shard, f"{key}{captioned.suffix(image_id)}", image)
        about = json.dumps({"image_id": image_id, "caption": caption}, ensure_ascii=False)
        _add(shard, f"{key}.txt", io.BytesIO(caption.encode()))
        _add(shard, f"{key}.json", io.BytesIO(about.encode()))
        progress.advance()
        if shard.offset >= shard_bytes:
            return written
    return written


def _add(shard: tarfile.TarFile, name: str, content: io.BufferedIOBase) -> None:
    """Add a file that says nothing of who wrote it and when."""
    member = tarfile.TarInfo(name)
    member.size = content.seek(0, io.SEEK_END)
    content.seek(0)
    shard.addfile(member, content)
