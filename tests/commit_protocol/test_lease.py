import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vprcap.commit_protocol.lease import STALE_SECONDS, claim, read_holder, this_host


def lease_of(path: Path, pid: int, host: str) -> None:
    path.write_text(json.dumps({"host": host, "pid": pid, "token": "old"}))


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_held_lease_cannot_be_claimed_and_a_released_one_can(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    first = claim(path)
    assert first is not None
    with first:
        assert claim(path) is None
        holder = read_holder(path)
        assert holder is not None and holder.pid == os.getpid()
    assert not path.exists()
    again = claim(path)
    assert again is not None
    again.__exit__(None, None, None)


def test_the_lease_of_a_dead_process_on_this_host_is_taken_over(tmp_path: Path) -> None:
    lease_of(tmp_path / "lease", dead_pid(), this_host())
    lease = claim(tmp_path / "lease")
    assert lease is not None
    lease.__exit__(None, None, None)


def test_a_fresh_lease_of_another_host_is_left_alone(tmp_path: Path) -> None:
    lease_of(tmp_path / "lease", 1, "elsewhere")
    assert claim(tmp_path / "lease") is None


def test_a_lease_without_heartbeat_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    lease_of(path, 1, "elsewhere")
    old = time.time() - STALE_SECONDS - 5
    os.utime(path, (old, old))
    lease = claim(path)
    assert lease is not None
    lease.__exit__(None, None, None)


def test_a_worker_whose_lease_was_stolen_does_not_remove_its_successors(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    sleeper = claim(path)
    assert sleeper is not None
    lease_of(path, 1, "elsewhere")
    sleeper.__exit__(None, None, None)
    assert path.exists()


def test_of_many_thieves_one_wins(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from vprcap.commit_protocol.lease import claim;"
        "print(claim(Path(sys.argv[1])) is not None, flush=True); sys.stdin.read()"
    )
    lease_of(tmp_path / "lease", dead_pid(), this_host())
    thieves = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "lease")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    # Each keeps running until all have answered: a thief that ended would leave a stale lease.
    answers = [thief.stdout.readline().strip() for thief in thieves if thief.stdout]
    for thief in thieves:
        thief.communicate()
    assert sorted(answers) == ["False", "False", "False", "True"]


@pytest.mark.parametrize("text", ["", "{", '{"host": 1}'])
def test_a_half_written_lease_has_no_known_holder(tmp_path: Path, text: str) -> None:
    (tmp_path / "lease").write_text(text)
    assert read_holder(tmp_path / "lease") is None


def test_each_theft_counts_one_attempt_more_and_a_release_forgets_them(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    for attempt in (1, 2, 3):
        text = {"host": this_host(), "pid": dead_pid(), "token": "old", "attempt": attempt}
        path.write_text(json.dumps(text))
        lease = claim(path)
        assert lease is not None and lease.attempt == attempt + 1
        holder = read_holder(path)
        assert holder is not None and holder.attempt == attempt + 1
        lease.__exit__(None, None, None)
        fresh = claim(path)
        assert fresh is not None and fresh.attempt == 1
        fresh.__exit__(None, None, None)


def test_a_worker_sees_that_its_lease_was_stolen_or_removed(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    for happens in (lambda: lease_of(path, 1, "elsewhere"), path.unlink):
        lease = claim(path)
        assert lease is not None and lease.is_held() and not lease.lost
        happens()
        assert not lease.is_held() and lease.lost
        lease.__exit__(None, None, None)
        path.unlink(missing_ok=True)


def test_a_heartbeat_does_not_keep_the_successors_lease_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vprcap.commit_protocol.lease.HEARTBEAT_SECONDS", 0.01)
    path = tmp_path / "lease"
    lease = claim(path)
    assert lease is not None
    os.utime(path, (1, 1))
    until = time.monotonic() + 10
    while path.stat().st_mtime < 100:  # it beats while the lease is its own
        assert time.monotonic() < until
        time.sleep(0.01)
    other = tmp_path / "other"
    lease_of(other, 1, "elsewhere")
    os.utime(other, (1, 1))
    os.replace(other, path)
    while not lease.lost:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert path.stat().st_mtime == 1
    lease.__exit__(None, None, None)
    assert path.exists()


def test_what_a_killed_thief_left_goes_with_the_next_release(tmp_path: Path) -> None:
    (tmp_path / ".lease.0123456789ab").write_text("{}")
    lease = claim(tmp_path / "lease")
    assert lease is not None
    lease.__exit__(None, None, None)
    assert list(tmp_path.iterdir()) == []
