"""Fault points: places in the commit protocol where a test can strike a worker.

A protocol that claims to survive death at any line is believed only where it has died. Each flush,
link, rename, unlink and write of it therefore calls `passing` with a name, just before it happens.
Nothing comes of that unless the environment says so, e.g. ``VPRCAP_FAULTS=kill:journal.write:3``:
the third passing of that point ends the process as SIGKILL does, without any clean-up.
"""

import errno
import os
import signal
from collections import Counter
from functools import cache

ENVIRONMENT_VARIABLE = "VPRCAP_FAULTS"
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
_ERRORS = {"enospc": errno.ENOSPC, "eio": errno.EIO}

passed: Counter[str] = Counter()
"""How often each point was passed; counted only while faults are asked for."""


def passing(point: str) -> None:
    """Suffer the fault that the environment asks for at this passing of a point.

    Raises:
        OSError: the fault is ``enospc`` or ``eio``.
    """
    faults = _faults()
    if not faults:
        return
    passed[point] += 1
    action = faults.get((point, passed[point])) or faults.get((point, 0))
    if action in _SIGNALS:
        os.kill(os.getpid(), _SIGNALS[action])
    elif action is not None:
        raise OSError(_ERRORS[action], os.strerror(_ERRORS[action]))


@cache
def _faults() -> dict[tuple[str, int], str]:
    """Read ``ACTION:POINT:PASSING,...``; passing 0 means every one."""
    faults = {}
    for fault in filter(None, os.environ.get(ENVIRONMENT_VARIABLE, "").split(",")):
        action, point, number = fault.split(":")
        if action not in _SIGNALS | _ERRORS:
            raise ValueError(f"{ENVIRONMENT_VARIABLE}: unknown fault {action!r}")
        faults[point, int(number)] = action
    return faults
