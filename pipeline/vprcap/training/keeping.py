"""What a training keeps: how far it is, and where that lies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vprcap.combiner import FeatureCombiner

Metrics = dict[str, float]


@dataclass(frozen=True)
class Keeping:
    """Where a training keeps what it must not lose."""

    checkpoint: Path
    """The file of its unfinished state."""
    identity: Mapping[str, Any]
    """What it is the training of; the state of another one is refused."""
    on_best: Callable[[FeatureCombiner], None]
    """Called with each state that validation finds better than all before."""
    on_resume: Callable[[list[Metrics]], None] = lambda metrics: None
    """Called with the figures of the epochs that an interrupted training had finished."""
    trackers: tuple[Any, ...] = ()
    """What accelerate logs with, beside the checkpoint."""


@dataclass
class State:
    """How far a training is, but for its tensors; all of it is JSON."""

    epoch: int = 0
    """Epoch in work; 0 is the validation before training."""
    batch: int = 0
    """Batches of it that are done."""
    steps: int = 0
    """Steps of it that are done."""
    sums: Metrics = field(default_factory=dict)
    """Its losses and gradient norms, added up over its steps."""
    seconds: float = 0.0
    """Time that it has taken."""
    best_score: list[float] = field(default_factory=lambda: [-1.0, -1.0])
    """Average precisions of the best epoch so far."""
    waited: int = 0
    """Epochs since then."""
    metrics: list[Metrics] = field(default_factory=list)
    """Figures of the epochs that are done."""

    def count(self, figures: Metrics, num_batches: int, seconds: float) -> None:
        """Take note of one step."""
        for name, figure in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + figure
        self.batch, self.steps = self.batch + num_batches, self.steps + 1
        self.seconds += seconds

    def figures(self) -> Metrics:
        """Give the means of the epoch in work."""
        means = {name: total / self.steps for name, total in self.sums.items()}
        timed = {"seconds": self.seconds} if self.steps else {}
        return {"epoch": float(self.epoch)} | means | timed

    def close_epoch(self, metrics: Metrics) -> bool:
        """Go on to the next epoch; say whether this one was the best so far."""
        score = [metrics["doubted_map"], metrics["fused_map"]]
        better = score > self.best_score
        self.best_score = score if better else self.best_score
        self.waited = 0 if better else self.waited + 1
        self.metrics.append(metrics)
        self.epoch, self.batch, self.steps = self.epoch + 1, 0, 0
        self.sums, self.seconds = {}, 0.0
        return better
