"""Death, and a disk that refuses, at every step of the commit protocol."""

import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_workers import Rehearsal, passings, rows_of, run

import vprcap

# What a worker starts from, and what it does: together they pass every fault point.
SCENES = {
    "caption": ("nothing", "caption"),
    "take over": ("a dead worker", "caption"),
    "take over from afar": ("a silent worker elsewhere", "caption"),
    "tidy": ("a worker dead after its commit", "caption"),
    "retry": ("a finished set", "retry"),
    "retry a compacted set": ("a compacted set", "retry"),
    "compact": ("a finished set", "compact"),
    "compact again": ("a compacted set", "compact"),
}


def prepare(rehearsal: Rehearsal, start: str, root: Path) -> Path:
    if start in ("a finished set", "a compacted set"):
        shutil.copytree(rehearsal.undisturbed, root)
    if start == "a compacted set":
        code, said = run(rehearsal.manifest, root, task="compact")
        assert code == 0, said
    if start == "a worker dead after its commit":
        code, _ = run(rehearsal.manifest, root, faults="kill:journal.remove:1")
        assert code == -9
    if start in ("a dead worker", "a silent worker elsewhere"):
        code, _ = run(rehearsal.manifest, root, faults="kill:journal.write:2")
        assert code == -9
    if start == "a silent worker elsewhere":
        (lease,) = root.glob("*/leases/part-*")
        lease.write_text(json.dumps({**json.loads(lease.read_text()), "host": "elsewhere"}))
        os.utime(lease, (time.time() - 1000, time.time() - 1000))
    return root


def spread(count: int, at_most: int) -> list[int]:
    """Return passings from the first to the last, evenly."""
    if count <= at_most:
        return list(range(1, count + 1))
    if at_most == 1:
        return [1]
    return sorted({1 + (count - 1) * each // (at_most - 1) for each in range(at_most)})


def strikes(
    rehearsal: Rehearsal, folder: Path, at_most: int
) -> Iterator[tuple[str, str, str, int]]:
    """Give each scene's start and task, and each of its fault points with some passings.

    With one passing at most, a point is struck only in the first scene that passes it.
    """
    struck: set[str] = set()
    for scene, (begin, task) in SCENES.items():
        root = prepare(rehearsal, begin, folder / f"count {scene}")
        for point, count in passings(rehearsal.manifest, root, task=task).items():
            if at_most == 1 and point in struck:
                continue
            struck.add(point)
            for number in spread(count, at_most):
                yield begin, task, point, number


def check_recovery(rehearsal: Rehearsal, root: Path, case: str) -> None:
    code, said = run(rehearsal.manifest, root)
    assert code == 0, f"{case}: {said}"
    assert rows_of(root) == rehearsal.rows, case


def kill_everywhere(rehearsal: Rehearsal, folder: Path, at_most: int) -> Counter[str]:
    kills: Counter[str] = Counter()
    for number, (begin, task, point, passing) in enumerate(strikes(rehearsal, folder, at_most)):
        case = f"killed at passing {passing} of {point} while a worker did {task} on {begin}"
        root = prepare(rehearsal, begin, folder / f"{number}")
        code, said = run(rehearsal.manifest, root, task=task, faults=f"kill:{point}:{passing}")
        if code == 0 and point == "lease.heartbeat":
            continue  # beats are counted by the clock: this run was quicker
        assert code == -9, f"{case}: {said}"
        kills[point] += 1
        check_recovery(rehearsal, root, case)
        shutil.rmtree(root)
    print(f"\n{kills.total()} kills of {kills.total()} survived, at {len(kills)} fault points:")
    print(", ".join(f"{point} {count}" for point, count in sorted(kills.items())))
    return kills


def points_in_the_code() -> set[str]:
    sources = Path(vprcap.__file__).parent.rglob("*.py")
    return {
        point
        for path in sources
        for point in re.findall(r'passing\("([^"]+)"\)', path.read_text())
        if path.name != "fault_points.py"
    }


def test_a_worker_killed_at_any_fault_point_loses_and_doubles_nothing(
    rehearsal: Rehearsal, tmp_path: Path
) -> None:
    kills = kill_everywhere(rehearsal, tmp_path, at_most=1)
    # Not passed here: what a worker removes when another has finished its shard.
    assert kills.keys() | {"lease.heartbeat"} == points_in_the_code() - {"worker.journal"}


@pytest.mark.chaos
def test_two_hundred_kills_at_fault_points_are_survived(
    rehearsal: Rehearsal, tmp_path: Path
) -> None:
    assert kill_everywhere(rehearsal, tmp_path, at_most=5).total() >= 200


def refuse_everywhere(rehearsal: Rehearsal, folder: Path, action: str, at_most: int) -> None:
    """Let the disk refuse each step: one line, no traceback, and the next run ends it."""
    count = 0
    for number, (begin, task, point, passing) in enumerate(strikes(rehearsal, folder, at_most)):
        case = f"{action} at passing {passing} of {point} while a worker did {task} on {begin}"
        root = prepare(rehearsal, begin, folder / f"{number}")
        code, said = run(rehearsal.manifest, root, task=task, faults=f"{action}:{point}:{passing}")
        assert "Traceback" not in said, f"{case}: {said}"
        count += code != 0
        check_recovery(rehearsal, root, case)
        shutil.rmtree(root)
    print(f"\n{action}: {number + 1} refusals, {count} ended the worker with one line, none a row")


@pytest.mark.parametrize("action", ["enospc", "eio"])
def test_a_disk_that_refuses_any_step_is_one_line_and_loses_nothing(
    rehearsal: Rehearsal, tmp_path: Path, action: str
) -> None:
    refuse_everywhere(rehearsal, tmp_path, action, at_most=1)
