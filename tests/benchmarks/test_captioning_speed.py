"""How fast captions come, against the loop that everybody writes and against bare `generate`.

    make bench

Everything is measured in one run, in turns, on one machine with one model and the same images:

    single     open, frame, processor, `generate`: one image at a time
    generate   `generate` alone, in batches of 16, on tensors that are ready
    pipeline   the whole stage: decode workers, frame, normalise, generate, journal, commit

Medians of three rounds are compared. The model is the shipped tiny LLaVA in float32; no GPU was
measured.
"""

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vprcap.caption_job import BATCH_SIZE, CaptionJob, JobOptions, open_job
from vprcap.captioners.transformers import TransformersCaptioner
from vprcap.captions import read_captions
from vprcap.city import EVALUATION, write_city
from vprcap.city.seeds import TESTS
from vprcap.images import decode_image
from vprcap.manifest import image_path, read_manifest
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

pytestmark = pytest.mark.bench

NUM_PLACES = 80  # 240 images
NUM_SINGLE = 32
ROUNDS = 3


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = tmp_path_factory.mktemp("city") / "images"
    write_city(images, seed=TESTS, num_places=NUM_PLACES, traversals=EVALUATION)
    path = scan(images, images.parent / "city.parquet", table=images / "table.csv")
    shard(path)
    return path


def job_of(manifest: Path, captions_root: Path) -> CaptionJob:
    return open_job(
        JobOptions(
            manifest, model="packaged:tiny-llava", quantization="none", captions_root=captions_root
        )
    )


def seconds_of(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def test_the_pipeline_hides_its_own_work_and_batches_pay(manifest: Path, tmp_path: Path) -> None:
    loaded = read_manifest(manifest)
    paths = [image_path(loaded.info.image_root, name) for name in loaded.image_ids]
    captioner = job_of(manifest, tmp_path).captioner
    assert isinstance(captioner, TransformersCaptioner)
    captioner.load()
    pixels = [decode_image(path, captioner.framing, 50).pixels for path in paths]
    batches = [
        captioner._inputs(pixels[start : start + BATCH_SIZE])
        for start in range(0, len(pixels), BATCH_SIZE)
    ]
    texts: dict[str, list[str]] = {}

    def single() -> None:
        images = (decode_image(path, captioner.framing, 50).pixels for path in paths[:NUM_SINGLE])
        texts["single"] = [captioner.caption([image], never)[0].text for image in images]

    def generate() -> None:
        for inputs in batches:
            captioner._tokens(inputs, never)

    def pipeline(root: Path) -> None:
        job = job_of(manifest, root)
        captioner_of_job = job.captioner
        captioner_of_job.__dict__.update(captioner.__dict__)  # weights are loaded already
        captioner_of_job.load = lambda: None  # type: ignore[method-assign]
        texts["pipeline"] = read_captions(caption(job))["caption"].to_pylist()

    captioner.caption(pixels[:BATCH_SIZE], never)  # warm up
    rates: dict[str, list[float]] = {"single": [], "generate": [], "pipeline": []}
    for turn in range(ROUNDS):
        rates["single"].append(NUM_SINGLE / seconds_of(single))
        rates["generate"].append(len(paths) / seconds_of(generate))
        rates["pipeline"].append(len(paths) / seconds_of(partial(pipeline, tmp_path / f"{turn}")))
    median = {name: statistics.median(each) for name, each in rates.items()}
    overhead = statistics.median(np.divide(rates["generate"], rates["pipeline"]))
    gain = statistics.median(np.divide(rates["pipeline"], rates["single"]))
    figures = {
        "images_per_second": {name: round(rate, 2) for name, rate in median.items()},
        "pipeline_over_generate": round(float(overhead), 3),
        "batched_over_single": round(float(gain), 2),
    }
    Path("bench.json").write_text(json.dumps(figures, indent=2) + "\n")
    print("\n" + json.dumps(figures, indent=2))
    assert texts["pipeline"][:NUM_SINGLE] == texts["single"]
    assert overhead <= 1.10
    assert gain >= 4
