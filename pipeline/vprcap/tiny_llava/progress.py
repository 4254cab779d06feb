"""A line on stderr now and then, so that half an hour of training can be watched."""

import sys
import time

EVERY = 10


class Progress:
    """Counts steps and prints the running mean of what it is told."""

    def __init__(self, stage: str, steps: int) -> None:
        self.stage, self.steps = stage, steps
        self.done, self.start = 0, time.monotonic()
        self.means: dict[str, float] = {}

    def step(self, **figures: float) -> None:
        """Count one step; figures are smoothed over about 20 steps."""
        self.done += 1
        for name, figure in figures.items():
            self.means[name] = self.means.get(name, figure) * 0.95 + figure * 0.05
        if self.done % EVERY == 0 or self.done == self.steps:
            told = ", ".join(f"{name} {mean:.3f}" for name, mean in self.means.items())
            seconds = time.monotonic() - self.start
            print(
                f"{self.stage} {self.done}/{self.steps}: {told}, {seconds:.0f} s", file=sys.stderr
            )
