"""Asked to stop: SIGTERM and Ctrl-C set a flag that long work looks at; nothing is torn.

A second signal means it: the default handling is restored after the first.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopFlag:
    """True once a signal has asked the process to stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __call__(self) -> bool:
        """Say whether to stop."""
        return self.signal is not None


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Catch SIGTERM and SIGINT while the body runs (only possible in the main thread)."""
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    previous = {number: signal.getsignal(number) for number in _SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        flag.signal = signal.Signals(number)
        for each, handler in previous.items():
            signal.signal(each, handler)

    for number in _SIGNALS:
        signal.signal(number, note)
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
