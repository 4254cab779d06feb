"""The batch size that is found while working, by memories and speeds that are given."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vprcap.caption_job import JobOptions, WorkOptions, check_together, open_job
from vprcap.caption_sets.captions import read_captions
from vprcap.captioners.automatic_batch_size import AutomaticBatchSize
from vprcap.captioners.memory_meter import MainMemory, memory_meter
from vprcap.errors import InvalidError
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard


class Machine:
    """A memory and a clock: what batches take there is known."""

    def __init__(
        self, seconds: Callable[[int], float], total: int, each: int = 10, weights: int = 1000
    ) -> None:
        self.seconds, self.total, self.each, self.weights = seconds, total, each, weights
        self.now, self.batch = 0.0, 0

    def clock(self) -> float:
        return self.now

    def start(self) -> None:
        self.batch = 0

    def peak(self) -> int:
        return self.weights + self.batch * self.each

    def room(self) -> int:
        return self.total - self.peak()

    def sizes(self, num_batches: int) -> list[int]:
        """Work off batches; one that does not fit fails."""
        size, tried = AutomaticBatchSize(self, self.clock), []
        for _ in range(num_batches):
            tried.append(size.now)
            size.begin()
            self.batch = size.now
            self.now += self.seconds(size.now)
            if self.peak() > self.total:
                size.failed(size.now)
            else:
                size.succeeded(size.now)
        return tried


def one_second(_: int) -> float:
    return 1.0


def test_it_doubles_after_four_batches_while_that_is_faster_up_to_the_largest() -> None:
    tried = Machine(one_second, total=10**6).sizes(40)
    assert tried == [4] * 4 + [8] * 4 + [16] * 4 + [32] * 4 + [64] * 4 + [128] * 4 + [256] * 16


def test_it_goes_back_where_twice_the_images_take_twice_the_time() -> None:
    # 16 in 1 s, 32 in 2 s, 64 in 4 s: no gain, so 16 it is.
    tried = Machine(lambda size: max(1.0, size / 16), total=10**6).sizes(40)
    assert tried == [4] * 4 + [8] * 4 + [16] * 4 + [32] * 4 + [64] * 4 + [16] * 20


def test_one_size_that_was_disturbed_does_not_end_the_growth() -> None:
    tried = Machine(lambda size: 9.0 if size == 8 else 1.0, total=10**6).sizes(28)
    assert tried == [4] * 4 + [8] * 4 + [16] * 4 + [32] * 4 + [64] * 4 + [128] * 4 + [256] * 4


def test_where_memory_ends_the_growth_the_fastest_size_stays_not_the_largest() -> None:
    # Of 8 images 80 bytes are taken and 50 free: 0.7 * 50 / 80 = 0.4375 of 8 more, 3. Of 11 there
    # are 110 and 20: no step; 11 in 2 s are slower than 8 in 1 s.
    machine = Machine(lambda size: 2.0 if size > 8 else 1.0, total=1130)
    assert machine.sizes(20) == [4] * 4 + [8] * 4 + [11] * 4 + [8] * 8


def test_a_slow_first_batch_of_a_size_says_nothing_of_it() -> None:
    seen: set[int] = set()

    def seconds(size: int) -> float:
        first = size not in seen
        seen.add(size)
        return 100.0 if first else max(1.0, size / 8)

    tried = Machine(seconds, total=10**6).sizes(20)
    assert tried == [4] * 4 + [8] * 4 + [16] * 4 + [32] * 4 + [8] * 4


def test_it_grows_by_what_seven_tenths_of_the_free_memory_hold() -> None:
    # Of 8 images 80 bytes are taken and 1150 - 1000 - 80 = 70 are free: 0.7 * 70 / 80 = 0.6125
    # of 8 more, 4. Then 120 are taken and 30 free: 0.175 of 12 is not worth it.
    tried = Machine(one_second, total=1150).sizes(30)
    assert tried == [4] * 4 + [8] * 4 + [12] * 22


def test_it_stays_at_the_first_size_where_there_is_no_room_for_more() -> None:
    assert Machine(one_second, total=1045).sizes(10) == [4] * 10


def test_a_batch_that_does_not_fit_after_all_ends_the_growth() -> None:
    machine = Machine(one_second, total=10**6)
    machine.peak = lambda: 1000 + machine.batch * (10 if machine.batch < 32 else 10**5)  # type: ignore[method-assign]
    tried = machine.sizes(20)
    assert tried[:13] == [4] * 4 + [8] * 4 + [16] * 4 + [32]
    assert tried[13:] == [16] * 7


def test_memory_that_a_batch_leaves_behind_counts_as_taken_by_it() -> None:
    # Weights 1000, and 40 of the first batch of 4 are kept for ever: they only look like weights.
    machine = Machine(one_second, total=1060)
    machine.start = lambda: None  # type: ignore[method-assign]
    # Of 4 images 40 bytes are taken, 20 are free: 0.7 * 20 / 40 = 0.35 of 4 more, 1.
    assert machine.sizes(12) == [4] * 4 + [5] * 8


def test_the_last_smaller_batch_of_a_shard_is_not_timed() -> None:
    machine = Machine(one_second, total=10**6)
    size = AutomaticBatchSize(machine, machine.clock)
    for _ in range(100):
        size.begin()
        size.succeeded(3)
    assert size.now == 4


def test_main_memory_is_that_of_the_process_and_what_its_machine_has_left(tmp_path: Path) -> None:
    own = tmp_path / "proc/self"
    own.mkdir(parents=True)
    (own / "status").write_text("Name:\tpython\nVmHWM:\t    5000 kB\nVmRSS:\t    3000 kB\n")
    (own / "cgroup").write_text("1:cpu:/elsewhere\n0::/slurm/job_7/step_0\n")
    (own.parent / "meminfo").write_text("MemTotal: 90000 kB\nMemAvailable:   40000 kB\n")
    meter = MainMemory(tmp_path / "proc", tmp_path / "groups")
    meter.start()
    assert (own / "clear_refs").read_text() == "5"
    assert meter.peak() == 5000 * 1024
    assert meter.room() == (40000 + 3000 - 5000) * 1024

    job = tmp_path / "groups/slurm/job_7"
    (job / "step_0").mkdir(parents=True)
    (job / "step_0/memory.max").write_text("max\n")
    (job / "memory.max").write_text(f"{30000 * 1024}\n")
    (job / "memory.current").write_text(f"{10000 * 1024}\n")
    assert meter.room() == (30000 - 10000 + 3000 - 5000) * 1024


def test_captions_are_the_same_and_the_size_is_told(
    random_llava: Path, make_images: Callable[..., Path], tmp_path: Path
) -> None:
    manifest = scan(make_images([f"{i:02}.jpg" for i in range(40)]), tmp_path / "images.parquet")
    shard(manifest)
    texts, told = [], []
    for size in (None, 3):
        options = JobOptions(
            manifest, tmp_path / f"set-{size}", model=str(random_llava), max_new_tokens=6
        )
        job = open_job(replace(options, quantization="none"))
        root = caption(job, WorkOptions(size, decode_workers=1, reuse=False))
        texts.append(read_captions(root, ["image_id", "caption", "status"]).to_pylist())
        told.append(json.loads(job.captions.summary(job.plan.shards[0]).read_text())["batch_size"])
    assert texts[0] == texts[1]
    assert len({row["caption"] for row in texts[0]}) > 1
    assert told[0] >= 4
    assert told[1] == 3


def test_the_room_on_a_gpu_is_what_is_free_and_what_torch_keeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Of 80 in all 30 are free, 45 are kept by torch, of which tensors took 40 at most.
    monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda: 40)
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda: 45)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (30, 80))
    meter = memory_meter("NVIDIA H200")
    assert (meter.peak(), meter.room()) == (40, 35)


@pytest.mark.parametrize("captioner", ["openai", "vllm"])
def test_a_captioner_whose_memory_is_elsewhere_is_refused(captioner: str) -> None:
    options = JobOptions(Path("m.parquet"), captioner=captioner)
    with pytest.raises(InvalidError, match=f"--batch-size auto is not of {captioner}.* e.g. 64"):
        check_together(options, WorkOptions(batch_size=None))
    check_together(options, WorkOptions(batch_size=64))


def test_a_system_that_does_not_tell_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        MainMemory, "start", lambda _: (tmp_path / "none/clear_refs").write_text("5")
    )
    with pytest.raises(InvalidError, match="cannot measure memory here .* give a number"):
        memory_meter("cpu")


def test_this_process_takes_what_it_takes() -> None:
    meter = memory_meter("cpu")
    meter.start()
    before = meter.peak()
    block = np.ones(40_000_000, dtype=np.uint8)
    assert meter.peak() - before >= 35_000_000
    del block
    assert meter.peak() - before >= 35_000_000, "it is the peak"
    assert meter.room() > 0
