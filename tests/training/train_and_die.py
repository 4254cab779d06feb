"""Runs `vprcap` and sends itself a signal before a given step of training: SIGNAL STEP ARGS..."""

import os
import signal
import sys

from vprcap.cli import main
from vprcap.training.learner import Learner

if __name__ == "__main__":  # decode workers import this file
    number, last = signal.Signals[sys.argv[1]], int(sys.argv[2])
    step, steps = Learner.step, []

    def dying(self: Learner, *arguments: object) -> dict[str, float]:
        steps.append(1)
        if len(steps) == last:
            os.kill(os.getpid(), number)
        return step(self, *arguments)  # type: ignore[arg-type]

    Learner.step = dying  # type: ignore[method-assign]
    sys.argv = ["vprcap", *sys.argv[3:]]
    main()
