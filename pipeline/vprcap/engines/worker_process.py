"""A worker as a program of its own: ``python -m vprcap.engines.worker_process JSON``.

A program, not a fork: CUDA starts fresh in it, a crash takes nobody along, and the command can be
printed and run by hand. It says on stdout, one JSON a line, how many rows are new and how it
ended; stderr is for people. It drains when whoever started it is gone (its stdin ends).
"""

import json
import logging
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.errors import Interrupted, VprcapError
from vprcap.stopping import stop_on_signals

ENDED_BY_ERROR = 1
"""How Python ends after an exception that nobody caught."""
_PATHS = frozenset({"manifest", "captions_root", "data_root"})


def worker_command(job: JobOptions, work: WorkOptions) -> list[str]:
    """Return the command that starts a worker."""
    options = json.dumps({"job": asdict(job), "work": asdict(work)}, default=str)
    return [sys.executable, "-m", "vprcap.engines.worker_process", options]


def parse_options(text: str) -> tuple[JobOptions, WorkOptions]:
    """Read back what `worker_command` wrote."""
    stored = json.loads(text)
    job, work = _with_paths(stored["job"]), _with_paths(stored["work"])
    return JobOptions(**job), WorkOptions(**work)


def _with_paths(stored: dict[str, Any]) -> dict[str, Any]:
    """JSON has no paths."""
    paths = {name: Path(stored[name]) for name in _PATHS & stored.keys() if stored[name]}
    return {**stored, **paths}


def main() -> None:
    """Work until no shard is free."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    job, work = parse_options(sys.argv[1])
    threading.Thread(target=_drain_when_alone, daemon=True).start()
    from vprcap.stages.caption import caption

    try:
        with stop_on_signals() as stop:  # from the first moment, not only while it captions
            opened = open_job(job)
            if stop.signal is not None:
                raise Interrupted(f"stopped by {stop.signal.name}", 128 + stop.signal)
            caption(opened, work, lambda count: _say(new=count))
    except VprcapError as error:
        code = error.exit_code if isinstance(error, Interrupted) else None
        _say(error=type(error).__name__, message=str(error), exit_code=code)


def _drain_when_alone() -> None:
    # Not sys.stdin: a thread that waits in it makes the interpreter abort when it ends.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _say(**what: Any) -> None:
    try:
        print(json.dumps(what), flush=True)
    except BrokenPipeError:  # nobody listens any more; the work is worth finishing
        pass


if __name__ == "__main__":
    main()
