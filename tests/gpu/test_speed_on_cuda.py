"""How fast a model of LLaVA-1.5-7B's shape captions on one GPU, through the whole stage.

    make gpu

The weights are random, so no caption ends by itself: every image gets the full 128 tokens, which is
more than a trained model writes under the shipped prompt; the last test lets them end as unevenly
as those of trained models do. Images are 640x480 JPEGs. The ceiling is
arithmetic alone: twice the language model's weights for every token in or out, and 0.38 TFLOP for
the vision tower, against the GPU's dense bf16 rate.
"""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.captioning_ways import Ways
from benchmarks.natural_ends import give_natural_ends
from benchmarks.random_llava import llava_15_7b, write_random_llava
from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import read_captions
from vprcap.caption_sets.status import read_status
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

NUM_IMAGES = 256
TFLOP_A_TOKEN = 2 * 6.74e9 / 1e12
TFLOP_OF_THE_TOWER = 0.38
PEAK_TFLOPS = {"H100": 989, "H200": 989, "A100": 312}
"""Dense bf16, as the maker states it."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llava-7b")
    return write_random_llava(folder, *llava_15_7b(), torch.bfloat16, "cuda")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = tmp_path_factory.mktemp("photographs") / "images"
    images.mkdir()
    for number in range(NUM_IMAGES):
        coarse = np.random.default_rng(number).integers(0, 255, (24, 32, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)
        picture.save(images / f"{number:04}.jpg", quality=90)
    path = scan(images, images.parent / "photographs.parquet")
    shard(path)
    return path


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_images_per_second_by_batch_size(
    model: Path, manifest: Path, tmp_path: Path, quantization: str
) -> None:
    options = JobOptions(manifest, tmp_path, model=str(model), quantization=quantization)
    job = open_job(options)
    begun = time.perf_counter()
    job.captioner.load()
    figures: dict[str, object] = {
        "gpu": torch.cuda.get_device_name(),
        "quantization": quantization,
        "seconds_to_load": round(time.perf_counter() - begun, 1),
        "weights_gib": round(torch.cuda.memory_allocated() / 2**30, 2),
    }
    job.captioner.load = lambda: None  # type: ignore[method-assign]
    for batch_size in (16, 64, 128, 256):
        torch.cuda.reset_peak_memory_stats()
        captions = CaptionSet(tmp_path / str(batch_size))
        few = max(2 * batch_size, 64)
        plan = job.plan.first(min(few, NUM_IMAGES))
        work = WorkOptions(batch_size=batch_size, decode_workers=8, reuse=False)
        root = caption(replace(job, captions=captions, plan=plan, pending=plan.shards), work)
        rows = read_captions(root, ["status", "num_output_tokens", "num_prompt_tokens"])
        assert set(rows["status"].to_pylist()) == {"ok"}
        rate = read_status(captions).images_per_second_each or 0.0
        tokens = np.mean(rows["num_output_tokens"].to_pylist())
        in_and_out = rows["num_prompt_tokens"][0].as_py() + float(tokens)
        work_of_image = TFLOP_OF_THE_TOWER + TFLOP_A_TOKEN * in_and_out
        figures[f"batch_{batch_size}"] = {
            "images_per_second": round(rate, 2),
            "tokens_per_second": round(rate * float(tokens)),
            "output_tokens": round(float(tokens), 1),
            "prompt_tokens": rows["num_prompt_tokens"][0].as_py(),
            "share_of_ceiling": round(rate * work_of_image / _peak(), 3),
            "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1),
        }
        print("\n" + json.dumps(figures), flush=True)


def test_a_running_batch_against_static_batches_where_captions_end_unevenly(
    model: Path, manifest: Path, tmp_path: Path
) -> None:
    """Both with the same weights and 64 rows; static batches wait for their longest caption."""
    options = JobOptions(manifest, tmp_path, model=str(model), quantization="none")
    ways = Ways(open_job(options), batch_size=64)
    give_natural_ends(ways.model, ways.num_prompt_tokens(), end_id=2)
    ways.static(64)  # warm up
    static, ours = ways.static(NUM_IMAGES), ways.vprcap(NUM_IMAGES, tmp_path / "vprcap")
    equal = np.mean([one == other for one, other in zip(static.texts, ours.texts, strict=True)])
    print(
        f"\nimages/s: static {static.rate:.2f}, vprcap {ours.rate:.2f}; {ours.tokens_an_image:.0f} "
        f"tokens an image; the model waited {ours.waiting:.1%}; texts equal {equal:.1%}; "
        f"peak GiB {static.peak_bytes / 2**30:.1f}, {ours.peak_bytes / 2**30:.1f}"
    )
    assert len(ours.texts) == NUM_IMAGES


def _peak() -> int:
    name = torch.cuda.get_device_name()
    return next((peak for card, peak in PEAK_TFLOPS.items() if card in name), 989)
