"""A worker process and what it says, line by line, as events in one queue for its supervisor."""

import json
import os
import queue
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a worker did: exactly one of new, line, error, returncode and lost is set."""

    worker: int
    new: int = 0
    """Rows that are safe since the last event."""
    line: str | None = None
    """What it said to people."""
    error: str | None = None
    """Name of the error that it could not go on with."""
    message: str = ""
    exit_code: int | None = None
    returncode: int | None = None
    """How it ended; nothing comes after this."""
    lost: str | None = None
    """How it ended where nobody can tell its return code; nothing comes after this."""


class WorkerProcess:
    """A running worker."""

    def __init__(
        self,
        number: int,
        command: Sequence[str],
        own: Mapping[str, str],
        events: "queue.Queue[Event]",
    ) -> None:
        self._number, self._events = number, events
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **own},
            stdin=subprocess.PIPE,  # ends when this process does: the worker then drains
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        self._pumps = [
            threading.Thread(target=self._pump_stdout, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._pump_stderr, args=(self._process.stderr,), daemon=True),
        ]
        for pump in self._pumps:
            pump.start()
        threading.Thread(target=self._wait, daemon=True).start()

    def send(self, number: int) -> None:
        """Send a signal; harmless if it has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def _pump_stdout(self, stream: Iterable[str]) -> None:
        for line in stream:
            self._events.put(_parse(self._number, line.rstrip()))

    def _pump_stderr(self, stream: Iterable[str]) -> None:
        for line in stream:
            self._events.put(Event(self._number, line=line.rstrip()))

    def _wait(self) -> None:
        returncode = self._process.wait()
        for pump in self._pumps:
            # A decoding process that outlives a killed worker may keep its pipes open.
            pump.join(timeout=5)
        self._close()
        self._events.put(Event(self._number, returncode=returncode))

    def _close(self) -> None:
        process = self._process
        if not any(pump.is_alive() for pump in self._pumps):
            assert process.stdout is not None and process.stderr is not None
            process.stdout.close()
            process.stderr.close()
        assert process.stdin is not None
        process.stdin.close()


def _parse(number: int, line: str) -> Event:
    """Read an event; a line that is none was printed by some library."""
    try:
        return Event(number, **json.loads(line))
    except (ValueError, TypeError):
        return Event(number, line=line)
