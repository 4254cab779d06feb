"""Whether captioning grows: resident memory over 20,000 images with a real model.

    make bench

The shipped tiny LLaVA in float32 over 200 pictures of the city under 20,000 names, captions of 12
tokens at most, copies of captions forbidden. What is looked at is the process that holds the model,
and the sum over it and its decode workers.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from vprcap.city import EVALUATION, write_city
from vprcap.city.seeds import TESTS
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

pytestmark = pytest.mark.bench

NUM_IMAGES, NUM_PICTURES, SHARD_SIZE = 20_000, 200, 500
WRITTEN = ["--model", "packaged:tiny-llava", "--quantization", "none", "--max-new-tokens", "12"]


def test_twenty_thousand_captions_take_no_more_memory_than_two_thousand(tmp_path: Path) -> None:
    manifest = _planned(tmp_path)
    command = [sys.executable, "-m", "vprcap", "caption", str(manifest), "--no-reuse", *WRITTEN]
    root = ["--captions-root", str(tmp_path / "captions")]
    begun = time.monotonic()
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen([*command, *root], stdout=log, stderr=log)
    seen: dict[int, list[tuple[int, int]]] = {}
    while running.poll() is None:
        finished = len(list(tmp_path.glob("captions/*/data/*.parquet")))
        if resident := _resident(running.pid):
            seen.setdefault(finished, []).append(resident)
        time.sleep(0.5)
    assert running.returncode == 0, (tmp_path / "log").read_text()[-2000:]
    num_shards = NUM_IMAGES // SHARD_SIZE
    tenth = num_shards // 10
    first, last = (
        np.mean([each for done in shards for each in seen.get(done, [])], axis=0) / 1e6
        for shards in (range(1, tenth + 1), range(num_shards - tenth, num_shards))
    )
    print(
        f"\n20,000 images in {time.monotonic() - begun:.0f} s: the model's process "
        f"{first[0]:.0f} MB over the first tenth, {last[0]:.0f} MB over the last; with decode "
        f"workers {first[1]:.0f} and {last[1]:.0f} MB"
    )
    assert last[0] <= 1.05 * first[0] and last[1] <= 1.05 * first[1]


def _planned(folder: Path) -> Path:
    drawn, images = folder / "drawn", folder / "images"
    write_city(drawn, seed=TESTS, num_places=70, traversals=EVALUATION)
    pictures = sorted(drawn.rglob("*.jpg"))[:NUM_PICTURES]
    assert len(pictures) == NUM_PICTURES
    images.mkdir()
    for number in range(NUM_IMAGES):
        os.link(pictures[number % NUM_PICTURES], images / f"{number:05}.jpg")
    manifest = scan(images, folder / "images.parquet")
    shard(manifest, shard_size=SHARD_SIZE)
    return manifest


def _resident(pid: int) -> tuple[int, int] | None:
    """Bytes of the largest process below a command, and of all of them."""
    try:
        sizes = [each.memory_info().rss for each in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return None
    return (max(sizes), sum(sizes)) if sizes else None
