"""How fast images come to a model that takes no time, against decoding and nothing else.

    pytest -m bench -s tests/benchmarks/test_loading_speed.py

Bare: two processes open each JPEG of 640x480 with Pillow and resize it; their start is not counted.
vprcap: the whole stage with the `fake` captioner and two decode workers, so also reading, hashing,
EXIF, padding, handing over, rows, journal, part, summary, and the start of its workers. In turns,
several times; the ratio is the median, of each turn's own two rates. Beside it stands the ratio of
the processor time, which a busy machine changes less.

On two cores 0.80 to 0.87 of bare came out, of these pictures and of photographs; the aim is 0.9.
Runs beside other work scatter from 0.5 to 1.4. Of 3.3 ms of processor time an image, 2.9 are
Pillow's own, 0.2 the main process's (handing over, rows, journal), 0.03 the hash, 0.05 the start
of the workers, and the rest, 0.1, was not told apart (pickling, padding, shared caches).

What was tried, with its figure (ms an image):

* Handing over 16 images at once instead of 6: 0.05 instead of 0.10 for the main process. Kept:
  batches of 16 hand over 12.
* Shared memory instead of pickles through pipes: 0.033 instead of 0.026 for squares of 64 pixels;
  0.28 instead of 0.70 for 336 pixels, of which 0.23 are the main process's. No model that sees 336
  pixels would notice that, and containers often have 64 MiB of shared memory. Left out.
* `Image.draft` (JPEGs decoded at a half or a quarter): decoding and resizing 2.2 to 3.1 times as
  fast, but 36 to 41 % of all values differ, by up to 14 of 255. They are the same only where it
  does nothing (640x480 for 336 pixels). Another picture is another caption. Left out.
* A third decode worker on two cores: 0.74 and 0.81 of bare, instead of 0.83 and 0.81.
* `torch.compile` of a token's step of the random 200m LLaVA (16 rows, float32, two cores, static
  cache): 145 ms with and without, 37 s to compile, and not the same tokens. Left out.
"""

import json
import multiprocessing
import os
import statistics
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

pytestmark = pytest.mark.bench

NUM_IMAGES = 12_000
ROUNDS = 3
LEAST = 0.7
"""What a machine with other work still reaches; the aim is 0.9."""
SIDE = 64
"""Of the square that `fake` sees."""


def test_everything_but_the_model_keeps_most_of_the_speed_of_bare_decoding(tmp_path: Path) -> None:
    images = tmp_path / "images"
    write_photographs(images)
    paths = [str(path) for path in sorted(images.iterdir())]
    manifest = scan(images, tmp_path / "images.parquet")
    shard(manifest)
    turns = [(bare(paths), vprcap(manifest, tmp_path / f"{turn}")) for turn in range(ROUNDS)]
    figures = {
        "bare_images_per_second": [round(NUM_IMAGES / plain[0]) for plain, _ in turns],
        "vprcap_images_per_second": [round(NUM_IMAGES / ours[0]) for _, ours in turns],
        "ratio": round(statistics.median(plain[0] / ours[0] for plain, ours in turns), 3),
        "ratio_of_cpu": round(statistics.median(plain[1] / ours[1] for plain, ours in turns), 3),
    }
    print("\n" + json.dumps(figures, indent=2))
    assert figures["ratio"] >= LEAST


def write_photographs(folder: Path) -> None:
    """Write 300 JPEGs with about the detail, and the bytes, of photographs, and links to them."""
    folder.mkdir()
    for number in range(NUM_IMAGES):
        path = folder / f"{number:05}.jpg"
        if number < 300:
            draw = np.random.default_rng(number)
            coarse = draw.integers(0, 255, (60, 80, 3), dtype=np.uint8)
            picture = np.asarray(
                Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)
            )
            noisy = np.clip(picture + draw.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(path, quality=85)
        else:
            os.link(folder / f"{number % 300:05}.jpg", path)


def vprcap(manifest: Path, root: Path) -> tuple[float, float]:
    """Caption by nobody; return the seconds it took, and those of processors."""
    job = open_job(JobOptions(manifest, root, captioner="fake"))
    begun, used = time.perf_counter(), processor_seconds()
    caption(job, WorkOptions(decode_workers=2, reuse=False))
    return time.perf_counter() - begun, processor_seconds() - used


def bare(paths: list[str]) -> tuple[float, float]:
    """Only decode and resize; return the seconds it took, and those of processors."""
    context = multiprocessing.get_context("spawn")
    start, ended = context.Barrier(3), context.Queue()
    halves = [
        context.Process(target=decode, args=(paths[half::2], start, ended)) for half in (0, 1)
    ]
    for each in halves:
        each.start()
    start.wait()
    begun = time.perf_counter()
    used = sum(ended.get() for _ in halves)
    seconds = time.perf_counter() - begun
    for each in halves:
        each.join()
    return seconds, used


def decode(paths: list[str], start: Barrier, ended: "Queue[float]") -> None:
    start.wait()
    used = time.process_time()
    for path in paths:
        with Image.open(path) as image:
            image.resize((SIDE, SIDE * 3 // 4), Image.Resampling.BICUBIC)
    ended.put(time.process_time() - used)


def processor_seconds() -> float:
    """Return those of this process and of its children that have ended."""
    return sum(os.times()[:4])
