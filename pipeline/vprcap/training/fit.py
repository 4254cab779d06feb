"""The training loop: epochs of steps, validation after each, the best state kept."""

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.utils import (  # type: ignore[import-untyped]
    DistributedDataParallelKwargs,
    broadcast_object_list,
)
from torch import Tensor

from vprcap.combiner import CombinerConfig, FeatureCombiner
from vprcap.errors import Interrupted
from vprcap.progress import Progress
from vprcap.stopping import stop_on_signals
from vprcap.training.checkpoint import read_checkpoint, write_checkpoint
from vprcap.training.config import TrainConfig
from vprcap.training.data import TrainingImages, split_places
from vprcap.training.drawing import Mix, draw_batches, mix_captions, share
from vprcap.training.keeping import Keeping, Metrics, State
from vprcap.training.learner import Learner, sizes
from vprcap.training.start import initial_combiner
from vprcap.training.validation import validate

SAVE_SECONDS = 300.0
"""A checkpoint is written this often, besides after every epoch."""


def fit(
    data: TrainingImages,
    combiner_config: CombinerConfig,
    config: TrainConfig,
    on_epoch: Callable[[Metrics], None] = lambda metrics: None,
    *,
    keeping: Keeping | None = None,
) -> FeatureCombiner:
    """Train a combiner and return its best state by validation; it is on the CPU.

    Adapters in the encoders of `data` are trained with it and left in the same state.

    Args:
        data: images with known places.
        combiner_config: sizes; its token lengths must be those of the data.
        config: how to train. On a CPU, equal values and threads give equal weights, whether the
            training was interrupted or not.
        on_epoch: called with the figures of each epoch; the first, epoch 0, is before training.
        keeping: where to save; without it an interruption loses the training.

    Raises:
        InvalidError: token lengths differ from the configuration, or the loss is not a number.
        StaleArtefactError: the checkpoint is of another training.
        Interrupted: a signal asked to stop; the state is saved.
    """
    accelerator = Accelerator(
        mixed_precision=config.precision,
        # A batch without captions leaves the text side without gradients.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        log_with=list(keeping.trackers) if keeping else None,
        project_dir=keeping.checkpoint.parent if keeping else None,
    )
    with torch.random.fork_rng():
        combiner = _Training(data, combiner_config, config, accelerator, keeping).run(on_epoch)
    # The wrapped model goes before the process group: were it the last to hold gloo's group, it
    # would join gloo's threads while it holds the interpreter's lock, which they may wait for.
    accelerator.free_memory()
    accelerator.end_training()
    return combiner.cpu().eval()


class _Training:
    """One training, from its beginning or from where it was interrupted."""

    def __init__(
        self,
        data: TrainingImages,
        combiner_config: CombinerConfig,
        config: TrainConfig,
        accelerator: Accelerator,
        keeping: Keeping | None,
    ) -> None:
        self.data, self.config, self.accelerator = data, config, accelerator
        self.keeping = keeping
        self.rows_of, self.held = split_places(data, config)
        self.num_batches = len(self._mixes(epoch=1))
        found = read_checkpoint(keeping.checkpoint, self._identity()) if keeping else None
        torch.manual_seed(config.seed)
        if data.encoders is not None:
            data.encoders.to(accelerator.device)
        if found:
            combiner = FeatureCombiner(combiner_config)
        else:
            combiner = initial_combiner(data, combiner_config, config, self.held, accelerator)
        num_steps = -(-self.num_batches // config.accumulate) * config.epochs
        combiner.to(accelerator.device)
        self.learner = Learner(combiner, data, config, accelerator, num_steps)
        self.state = State()
        self.best: dict[str, Tensor] = {}
        if found:
            self.state = State(**found.state["state"])
            self.learner.restore(found)
            self.best = found.part("best")
        self.saved_at = time.monotonic()

    def run(self, on_epoch: Callable[[Metrics], None]) -> FeatureCombiner:
        """Go on to the end; leave the best state in combiner and encoders."""
        state, patience = self.state, self.config.patience
        self.accelerator.print(sizes(self.learner.combiner, self.data.encoders), file=sys.stderr)
        self.accelerator.init_trackers("tensorboard")
        if self.keeping:
            self.keeping.on_resume(state.metrics)
        total = self.config.epochs * self.num_batches
        with stop_on_signals() as self.stop, Progress("training", total, "batches") as progress:
            progress.resume(max(0, state.epoch - 1) * self.num_batches + state.batch)
            while state.epoch <= self.config.epochs and state.waited < patience:
                self._train_epoch(progress)
                metrics = self._measure()
                self._close_epoch(metrics)
                on_epoch(metrics)
        self.learner.load_weights(self.best)
        return self.learner.combiner

    def _train_epoch(self, progress: Progress) -> None:
        """Take the steps of this epoch that are left; epoch 0 has none."""
        state = self.state
        mixes = self._mixes(state.epoch)[state.batch :] if state.epoch else []
        batches = self.data.batches(mixes, self.config, self.accelerator.device)
        begun = time.monotonic()
        while group := list(islice(batches, self.config.accumulate)):
            # Were anything drawn inside the model, it would follow from the batch's number too.
            torch.manual_seed(_seed(self.config.seed, state.epoch, state.batch))
            figures = self.learner.step(group, state.epoch, state.batch)
            state.count(figures, len(group), time.monotonic() - begun)
            begun = time.monotonic()
            progress.advance(len(group))
            self._save_if_due()

    def _mixes(self, epoch: int) -> list[Mix]:
        """Draw this process's batches of an epoch; every process has as many as the others."""
        drawn = list(draw_batches(self.rows_of, self.config, epoch))
        processes, mine = self.accelerator.num_processes, self.accelerator.process_index
        return [
            mix_captions(
                self.data.places[drawn[number]],
                drawn[number],
                self.config,
                (self.config.seed, epoch, number),
            )
            for number in share(len(drawn), processes, mine)
        ]

    def _measure(self) -> Metrics:
        """Give the figures of this epoch; the main process validates for all."""
        figures = self.state.figures() | {"learning_rate": self.learner.rate()}
        if self.accelerator.is_main_process:
            with self.accelerator.autocast():
                tokens = self.data.read(self.held)
            combiner = self.learner.combiner
            figures |= validate(combiner, self.data, self.held, self.config, tokens)
        shared = [figures]
        broadcast_object_list(shared)
        return shared[0]

    def _close_epoch(self, metrics: Metrics) -> None:
        epoch, better = self.state.epoch, self.state.close_epoch(metrics)
        if better:
            self.best = {name: each.clone() for name, each in self.learner.weights().items()}
        self.accelerator.log(metrics, step=epoch)
        self._save()
        # After the checkpoint: a run without one is finished.
        if better and self.keeping and self.accelerator.is_main_process:
            self.keeping.on_best(self.learner.combiner)

    def _identity(self) -> dict[str, Any]:
        """What the checkpoint is of; with other processes its batches would be others."""
        assert self.keeping is not None
        return {**self.keeping.identity, "processes": self.accelerator.num_processes}

    def _save_if_due(self) -> None:
        """Save what is older than a few minutes; save and end when asked to stop."""
        if self.stop():
            self.accelerator.set_trigger()
        stopping = self.accelerator.check_trigger()  # every process must end at the same step
        if stopping or time.monotonic() - self.saved_at > SAVE_SECONDS:
            self._save()
        if stopping:
            raise Interrupted(
                "training was asked to stop and is saved; run the same command again to go on",
                128 + (self.stop.signal or signal.SIGTERM),
            )

    def _save(self) -> None:
        if self.keeping and self.accelerator.is_main_process:
            parts, learner = self.learner.parts()
            write_checkpoint(
                self.keeping.checkpoint,
                parts | {"best": self.best},
                {
                    "identity": self._identity(),
                    "state": asdict(self.state),
                    "learner": learner,
                },
            )
        self.saved_at = time.monotonic()


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
