"""Workers killed and stopped at moments that nobody chose."""

import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from fault_workers import Rehearsal, rows_of, run, start, wait_until_journaled

NUM_SIGNALS = 10


def kill_at_random(rehearsal: Rehearsal, folder: Path, at_least: int) -> None:
    """Kill three racing workers at random moments, let one more end it, until enough died.

    One that had already finished is no kill: how many do depends on how busy the machine is.
    """
    chance, kills = random.Random(0), 0
    for number in range(at_least):
        if kills >= at_least:
            break
        root = folder / f"{number}"
        workers = [start(rehearsal.manifest, root, model="latency=0.03") for _ in range(3)]
        for worker in workers:
            time.sleep(chance.uniform(0, 0.25))
            if worker.process.is_alive():
                os.kill(worker.pid, signal.SIGKILL)
        kills += [worker.end() for worker in workers].count(-9)
        code, said = run(rehearsal.manifest, root)
        assert code == 0, said
        assert rows_of(root) == rehearsal.rows, f"round {number}"
        shutil.rmtree(root)
    print(f"\n{kills} kills of {kills} at random moments of racing workers survived")
    assert kills >= at_least


def test_racing_workers_killed_at_random_moments_lose_and_double_nothing(
    rehearsal: Rehearsal, tmp_path: Path
) -> None:
    kill_at_random(rehearsal, tmp_path, at_least=3)


@pytest.mark.chaos
def test_sixty_kills_at_random_moments_are_survived(rehearsal: Rehearsal, tmp_path: Path) -> None:
    kill_at_random(rehearsal, tmp_path, at_least=60)


@pytest.mark.chaos
def test_a_signal_to_stop_costs_at_most_the_batch_in_flight(
    rehearsal: Rehearsal, tmp_path: Path
) -> None:
    """A batch of 3 takes 0.15 s: what was journaled last must be younger than that."""
    chance, lost = random.Random(1), []
    for number in range(NUM_SIGNALS):
        root = tmp_path / f"{number}"
        worker = start(rehearsal.manifest, root, model="latency=0.05")
        wait_until_journaled(root)
        time.sleep(chance.uniform(0, 0.25))
        begun = time.time()
        os.kill(worker.pid, signal.SIGTERM)
        code = worker.end()
        said = worker.log.read_text()
        assert code == 3 and "stopped by SIGTERM" in said, said
        writes = [path.stat().st_mtime for path in root.glob("*/journal/*.jsonl")]
        writes += [path.stat().st_mtime for path in root.glob("*/data/*.parquet")]
        lost.append(begun - max(writes))
        (kept,) = re.findall(r"SIGTERM: (\d+) of 12 images have", said)
        assert int(kept) == rows_kept(root)
    print(
        f"\n{NUM_SIGNALS} SIGTERM: seconds of work lost, at most {max(lost):.3f} of a 0.150 batch"
    )
    assert max(lost) < 0.15 + 0.1  # decoding, commit and a busy machine


def rows_kept(root: Path) -> int:
    parts = [path.name.partition(".")[0] for path in root.glob("*/data/*.parquet")]
    journals = [
        path for path in root.glob("*/journal/*.jsonl") if path.name.partition(".")[0] not in parts
    ]
    return 4 * len(parts) + sum(path.read_bytes().count(b"\n") for path in journals)
