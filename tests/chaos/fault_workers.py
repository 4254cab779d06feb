"""Workers for fault tests: forked from a server that has imported everything, so each starts in
milliseconds, and may be killed, stopped or refused its disk at any fault point."""

import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from vprcap.caption_sets.captions import read_captions

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["vprcap.stages.caption", "vprcap.stages.compact", "vprcap.stages.reopen", "fault_workers"]
)


@dataclass(frozen=True)
class Rehearsal:
    """A planned folder of images, and the rows of an undisturbed run."""

    manifest: Path
    undisturbed: Path
    rows: list[dict[str, Any]]


@dataclass
class Started:
    """A worker that runs, and where it says what went wrong."""

    process: ForkServerProcess
    log: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def end(self) -> int:
        """Wait for it and return its exit code; -9 if it was killed."""
        self.process.join(60)
        assert self.process.exitcode is not None, "the worker does not end"
        return self.process.exitcode

    def is_stopped(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


def start(manifest: Path, root: Path, *, faults: str = "", **options: Any) -> Started:
    """Start a worker on the caption set of a manifest below a captions root of its own."""
    root.mkdir(parents=True, exist_ok=True)
    log = root / f"{time.monotonic_ns()}.log"
    arguments = (manifest, root, log, faults, options)
    process = _SERVER.Process(target=_work, args=arguments)
    process.start()
    return Started(process, log)


def run(manifest: Path, root: Path, *, faults: str = "", **options: Any) -> tuple[int, str]:
    """Run a worker to its end; return its exit code and what it said."""
    started = start(manifest, root, faults=faults, **options)
    return started.end(), started.log.read_text()


def passings(manifest: Path, root: Path, **options: Any) -> dict[str, int]:
    """Return how often an undisturbed worker passes each fault point."""
    code, said = run(manifest, root, faults="kill:nowhere:1", **options)
    assert code == 0, said
    counts: dict[str, int] = json.loads(said.splitlines()[-1])
    return counts


def rows_of(root: Path) -> list[dict[str, Any]]:
    """Return every row of the one caption set below a captions root, in stored order."""
    (config,) = root.glob("*/config.json")
    columns = ["image_id", "image_sha256", "caption", "status"]
    rows: list[dict[str, Any]] = read_captions(config.parent, columns).to_pylist()
    return rows


def wait_until_stopped(worker: Started) -> None:
    deadline = time.monotonic() + 30
    while not worker.is_stopped():
        assert time.monotonic() < deadline, "the worker was not stopped"
        time.sleep(0.01)


def wait_until_journaled(root: Path) -> None:
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size for path in root.glob("*/journal/*.jsonl")):
        assert time.monotonic() < deadline, "nothing was journaled"
        time.sleep(0.01)


class _InlineDecoding:
    """The pool's interface without its processes, whose start would cost most of a test."""

    def __init__(self, num_workers: int, framing: Any, max_megapixels: float) -> None:
        self._arguments = (framing, max_megapixels)

    def decode(self, paths: Any, ahead: int) -> Any:
        from vprcap.images import decode_image

        return (decode_image(path, *self._arguments) for path in paths)

    def __enter__(self) -> "_InlineDecoding":
        return self

    def __exit__(self, *_: object) -> None:
        return


def _work(manifest: Path, root: Path, log: Path, faults: str, options: dict[str, Any]) -> None:
    from vprcap import fault_points
    from vprcap.errors import VprcapError

    os.environ[fault_points.ENVIRONMENT_VARIABLE] = faults
    stream = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(stream, 2)
    try:
        _do(manifest, root, **options)
    except VprcapError as problem:
        os.write(2, f"{type(problem).__name__}: {problem}\n".encode())
        sys.exit(3)
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        sys.exit(4)
    os.write(2, (json.dumps(fault_points.passed) + "\n").encode())


def _do(
    manifest: Path,
    root: Path,
    *,
    task: str = "caption",
    model: str = "",
    clock: float = 0.0,
    batch_size: int = 3,
    reuse: bool = True,
) -> None:
    import vprcap.commit_protocol.journal
    import vprcap.commit_protocol.lease
    import vprcap.stages.caption
    from vprcap.caption_job import JobOptions, WorkOptions, open_job
    from vprcap.caption_sets.row_filter import parse_filter
    from vprcap.stages.compact import compact
    from vprcap.stages.reopen import reopen

    if os.environ["VPRCAP_FAULTS"]:  # so that every point is passed within a second
        vprcap.commit_protocol.journal.FSYNC_SECONDS = 0.0
        vprcap.commit_protocol.lease.HEARTBEAT_SECONDS = 0.02
    vprcap.stages.caption.DecodePool = _InlineDecoding  # type: ignore[assignment,misc]
    if clock:
        true_time = time.time
        time.time = lambda: true_time() + clock
    job = JobOptions(manifest, captions_root=root, captioner="fake", model=model)
    if task == "compact":
        opened = open_job(job)
        compact(opened.captions, opened.plan)
        return
    if task == "retry":
        reopen(open_job(job).captions, parse_filter("status=ok"))
    vprcap.stages.caption.caption(open_job(job), WorkOptions(batch_size, reuse=reuse))
