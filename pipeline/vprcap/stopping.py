"""Asked to stop: a signal sets a flag that long work looks at; nothing is torn.

SIGTERM and Ctrl-C come from people, SIGUSR1 and SIGUSR2 from batch systems that warn before the
time is up. Schedulers and launchers repeat themselves, so what follows the first signal changes
nothing, except a second Ctrl-C after a moment: that one is meant, and ends the process at once.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

DEADLINE_EXIT_CODE = 124
"""Of a run that stopped because its time is nearly up; what `timeout` exits with."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
# One Ctrl-C may arrive twice: from the terminal, and passed on by a launcher.
_ONE_KEYSTROKE_SECONDS = 1.0


class StopFlag:
    """True once a signal has asked the process to stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._since = 0.0

    def __call__(self) -> bool:
        """Say whether to stop."""
        return self.signal is not None

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.signal is None:
            self.signal, self._since = signal.Signals(number), time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._since > _ONE_KEYSTROKE_SECONDS:
            raise KeyboardInterrupt


_listening: list[StopFlag] = []
"""Flags that signals set now; signals are the process's, so this is too."""


def asked_to_stop() -> bool:
    """Say whether a signal that is caught now has come, where no flag can be handed down."""
    return any(flag() for flag in _listening)


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Catch the signals while the body runs (only possible in the main thread)."""
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    previous = {number: signal.signal(number, flag.note) for number in _SIGNALS}
    _listening.append(flag)
    try:
        yield flag
    finally:
        _listening.remove(flag)
        for number, handler in previous.items():
            signal.signal(number, handler)
