"""A worker on a node of a Ray cluster: an actor that runs the worker program.

A program below the actor, not the work in the actor itself: a crash of CUDA takes the program
alone, so that its last words and its return code still arrive, and a worker is the same thing
under every engine.
"""

import os
import queue
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

from vprcap.caption_job import JobOptions, WorkOptions
from vprcap.engines.process import Event, WorkerProcess
from vprcap.engines.worker_process import worker_command
from vprcap.errors import MissingError


class WorkerActor:
    """What Ray places on a node; needs two threads, one to work and one to be told to stop."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._events: queue.Queue[Event] = queue.Queue()
        self._process: WorkerProcess | None = None
        self._asked_to_stop = False
        if os.environ.get("OMP_NUM_THREADS") == "1":  # Ray's, for work inside its own processes
            del os.environ["OMP_NUM_THREADS"]

    def work(
        self, job: JobOptions, work: WorkOptions, folder: Path, captions: Path
    ) -> Iterator[Event]:
        """Run the program until it ends.

        Args:
            job: with paths as they were given.
            work: how to work.
            folder: where the run was started; what given paths are relative to.
            captions: folder of the caption set, which is there already.

        Yields:
            what it does; at last how it ended.
        """
        for path in (folder, captions):
            if not path.is_dir():
                message = _unseen(path)
                yield Event(self._number, line=message)
                yield Event(self._number, error=MissingError.__name__, message=message)
                yield Event(self._number, returncode=0)
                return
        os.chdir(folder)
        self._process = WorkerProcess(self._number, worker_command(job, work), {}, self._events)
        if self._asked_to_stop:  # before there was a program
            self.drain()
        while True:
            event = self._events.get()
            yield event
            if event.returncode is not None:
                return

    def drain(self) -> None:
        """Have it journal what it has and release its shard, whatever signal asked for it."""
        self._asked_to_stop = True
        if self._process is not None:
            self._process.send(signal.SIGTERM)  # Ray's processes do not hear a Ctrl-C


def _unseen(path: Path) -> str:
    return f"node {socket.gethostname()} does not see {path}; mount it there under the same name"
