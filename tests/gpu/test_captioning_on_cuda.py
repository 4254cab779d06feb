from pathlib import Path

import pytest
import torch

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.caption_sets.captions import read_captions, status_counts
from vprcap.city import EVALUATION, write_city
from vprcap.city.claims import CaptionScore, score_caption
from vprcap.city.folder import read_attributes
from vprcap.city.seeds import TESTS
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = tmp_path_factory.mktemp("city") / "images"
    write_city(images, seed=TESTS, num_places=30, traversals=EVALUATION)
    path = scan(images, images.parent / "city.parquet", table=images / "table.csv")
    shard(path, shard_size=50)
    return path


def captions_of(root: Path) -> dict[str, str]:
    rows = read_captions(root).to_pylist()
    return {row["image_id"]: row["caption"] for row in rows}


def write(city: Path, root: Path, quantization: str, work: WorkOptions) -> dict[str, str]:
    job = open_job(JobOptions(city, root, model="packaged:tiny-llava", quantization=quantization))
    folder = caption(job, work)
    assert status_counts(folder) == {"ok": 90}
    return captions_of(folder)


@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
def test_the_city_is_described_as_well_as_on_a_cpu(
    city: Path, tmp_path: Path, quantization: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu = write(city, tmp_path / "gpu", quantization, WorkOptions())
    alone = write(city, tmp_path / "alone", quantization, WorkOptions(batch_size=1))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_cpu = write(city, tmp_path / "cpu", quantization, WorkOptions())
    right = {"GPU": accuracy(city, on_gpu), "CPU": accuracy(city, on_cpu)}
    same = {"CPU": share_equal(on_gpu, on_cpu), "batches of one": share_equal(on_gpu, alone)}
    print(f"\n{quantization}: attributes right {right}, captions equal to those of {same}")
    assert right["GPU"] > right["CPU"] - 0.02


def accuracy(city: Path, captions: dict[str, str]) -> float:
    truth = read_attributes(city.parent / "images")
    scores = (score_caption(text, truth[image_id]) for image_id, text in captions.items())
    return round(sum(scores, CaptionScore()).attribute_accuracy, 3)


def share_equal(first: dict[str, str], second: dict[str, str]) -> float:
    return round(sum(first[name] == second[name] for name in first) / len(first), 3)


def test_a_batch_that_does_not_fit_into_gpu_memory_is_halved(city: Path, tmp_path: Path) -> None:
    whole = write(city, tmp_path / "whole", "none", WorkOptions(batch_size=8))
    options = JobOptions(city, tmp_path, model="packaged:tiny-llava", quantization="none")
    job = open_job(options)
    total = torch.cuda.get_device_properties(0).total_memory
    room = torch.cuda.memory_reserved() + 80 * 2**20
    torch.cuda.set_per_process_memory_fraction(room / total)
    try:
        root = caption(job, WorkOptions(batch_size=64))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert status_counts(root) == {"ok": 90}
    print(f"\nequal to captions of batches of 8: {share_equal(whole, captions_of(root))}")
