"""`vprcap caption --retry-flagged`, killed with its workers at moments that nobody chose."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fault_workers import Rehearsal

from vprcap.caption_sets.captions import read_captions

NUM_KILLS = 20
MODEL = "latency=0.03"


def command(rehearsal: Rehearsal, root: Path, *more: object) -> list[str]:
    """Give the command, with a prompt that a few captions of the fake model echo."""
    (prompt := root.parent / "echo.txt").write_text("on the left a brown")
    given = ("caption", rehearsal.manifest, "--captions-root", root, "--captioner", "fake")
    more = ("--model", MODEL, "--prompt", prompt, "--batch-size", 2, "--json", *more)
    return [sys.executable, "-m", "vprcap", *map(str, (*given, *more))]


def end(arguments: list[str]) -> dict[str, Any]:
    """Run a command to its end and read what it tells."""
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def rows(root: Path) -> list[tuple[Any, ...]]:
    columns = ["image_id", "caption", "status", "config_id", "qa_flags"]
    return [tuple(map(str, row.values())) for row in read_captions(root, columns).to_pylist()]


@pytest.mark.chaos
def test_the_end_is_the_same_and_no_row_is_ever_away(rehearsal: Rehearsal, tmp_path: Path) -> None:
    (tmp_path / "calm").mkdir()
    calm = tmp_path / "calm" / "captions"
    first = rows(Path(end(command(rehearsal, calm))["captions"]))
    begun = time.monotonic()
    told = end(command(rehearsal, calm, "--retry-flagged"))
    whole = time.monotonic() - begun
    wanted = rows(Path(told["captions"]))
    assert told["better"] > 0 and wanted != first
    chance, kills = random.Random(0), 0
    for number in range(10 * NUM_KILLS):
        if kills >= NUM_KILLS:
            break
        (folder := tmp_path / f"{number}").mkdir()
        root = folder / "captions"
        captions = Path(end(command(rehearsal, root))["captions"])
        for _ in range(3):
            run = subprocess.Popen(
                command(rehearsal, root, "--retry-flagged"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            time.sleep(chance.uniform(0, whole))
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
            kills += run.wait() == -signal.SIGKILL
            assert rows(captions) in (first, wanted)
        end(command(rehearsal, root, "--retry-flagged"))
        assert rows(captions) == wanted
    print(f"\n{kills} kills survived")
    assert kills >= NUM_KILLS
