"""Workers killed and stopped at moments that nobody chose."""

import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from fault_workers import Rehearsal, Started, rows_of, run, start, wait_until_journaled

NUM_SIGNALS = 10


NUM_RACING = 3


def race(rehearsal: Rehearsal, root: Path) -> list[Started]:
    return [start(rehearsal.manifest, root, model="latency=0.03") for _ in range(NUM_RACING)]


def seconds_of_a_race(rehearsal: Rehearsal, root: Path) -> float:
    """Return how long racing workers take that nobody disturbs, on this machine, now."""
    begun = time.monotonic()
    codes = [worker.end() for worker in race(rehearsal, root)]
    assert set(codes) <= {0, 3}  # 3: what is left is in the hands of another
    return time.monotonic() - begun


def kill_at_random(rehearsal: Rehearsal, folder: Path, at_least: int) -> None:
    """Kill racing workers at random moments, let one more end their work, until enough died.

    The moments are spread over the time of an undisturbed race, so that about half the workers
    are caught on a machine of any speed; one that had already finished is no kill.
    """
    chance, kills = random.Random(0), 0
    whole = seconds_of_a_race(rehearsal, folder / "undisturbed")
    for number in range(10 * at_least):
        if kills >= at_least:
            break
        root = folder / f"{number}"
        begun, workers = time.monotonic(), race(rehearsal, root)
        moments = sorted(chance.uniform(0, whole) for _ in workers)
        for worker, moment in zip(workers, moments, strict=True):
            time.sleep(max(0.0, begun + moment - time.monotonic()))
            if worker.process.is_alive():
                os.kill(worker.pid, signal.SIGKILL)
        kills += [worker.end() for worker in workers].count(-signal.SIGKILL)
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
