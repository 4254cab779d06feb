"""What only a long plan shows: how workers add up, and whether one grows."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from fault_workers import rows_of, start
from PIL import Image

from vprcap.stages.scan import scan
from vprcap.stages.shard import shard


def planned(folder: Path, num_images: int, shard_size: int) -> Path:
    """Plan many names for a hundred tiny pictures."""
    images = folder / "images"
    images.mkdir()
    for number in range(num_images):
        path = images / f"{number:06}.png"
        if number < 100:
            noise = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path)
        else:
            os.link(images / f"{number % 100:06}.png", path)
    manifest = scan(images, folder / "images.parquet")
    shard(manifest, shard_size=shard_size)
    return manifest


def seconds_of(manifest: Path, root: Path, num_workers: int) -> float:
    begun = time.monotonic()
    options = {"model": "latency=0.02", "batch_size": 4, "reuse": False}
    workers = [start(manifest, root, **options) for _ in range(num_workers)]
    for worker in workers:
        worker.process.join(300)
        assert worker.process.exitcode in (0, 3), worker.log.read_text()  # 3: others hold the rest
    return time.monotonic() - begun


@pytest.mark.bench
def test_four_workers_are_at_least_three_point_six_times_as_fast_as_one(tmp_path: Path) -> None:
    """Start-up included, of processes that are forked and decode for themselves."""
    manifest = planned(tmp_path, num_images=2000, shard_size=20)
    seconds_of(manifest, tmp_path / "warm", num_workers=4)  # the server imports, the files are read
    one, four = (seconds_of(manifest, tmp_path / f"{count}", count) for count in (1, 4))
    print(
        f"\n2,000 images at 20 ms: 1 worker {one:.1f} s, 4 workers {four:.1f} s, {one / four:.2f} x"
    )
    assert rows_of(tmp_path / "4") == rows_of(tmp_path / "1")
    assert one / four >= 3.6


@pytest.mark.bench
def test_a_worker_does_not_grow_over_a_hundred_thousand_images(tmp_path: Path) -> None:
    """Resident memory of its process, decoding included, by how many parts are finished."""
    num_shards = 100
    manifest = planned(tmp_path, num_images=100_000, shard_size=1000)
    worker = start(manifest, tmp_path / "set", batch_size=16, reuse=False)
    resident: dict[int, list[int]] = {}
    while worker.process.is_alive():
        finished = len(list(tmp_path.glob("set/*/data/*.parquet")))
        pages = Path(f"/proc/{worker.pid}/statm").read_text().split()
        if len(pages) > 1 and int(pages[1]):
            resident.setdefault(finished, []).append(int(pages[1]) * os.sysconf("SC_PAGE_SIZE"))
        time.sleep(0.1)
    assert worker.end() == 0, worker.log.read_text()
    first = [each for done, seen in resident.items() if done < num_shards // 10 for each in seen]
    last = [
        each for done, seen in resident.items() if done >= num_shards * 9 // 10 for each in seen
    ]
    growth = np.mean(last) / np.mean(first) - 1
    print(
        f"\n100,000 images: {np.mean(first) / 1e6:.1f} MB over the first tenth, "
        f"{np.mean(last) / 1e6:.1f} MB over the last ({growth:+.1%})"
    )
    assert growth <= 0.05
