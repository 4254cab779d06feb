"""Model, optimiser and schedule of a training, behind accelerate."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from torch import Tensor, nn

from vprcap.combiner import FeatureCombiner
from vprcap.errors import InvalidError
from vprcap.training.adapted import AdaptedEncoders
from vprcap.training.checkpoint import Checkpoint, optimizer_state, restore_optimizer
from vprcap.training.config import TrainConfig
from vprcap.training.data import Batch, PhotoBatch, TrainingImages, make_batch
from vprcap.training.keeping import Metrics
from vprcap.training.objective import batch_losses

MAX_GRADIENT_NORM = 1.0


class Objective(nn.Module):
    """A batch in, its losses out.

    Encoders, combiner and losses are one module and one call, because data parallelism counts the
    gradients of one call.
    """

    def __init__(
        self, combiner: FeatureCombiner, data: TrainingImages, config: TrainConfig
    ) -> None:
        super().__init__()
        self.combiner, self.encoders = combiner, data.encoders
        self._data, self._config = data, config

    def forward(self, given: Batch | PhotoBatch) -> dict[str, Tensor]:
        """Give the weighted losses of a batch."""
        batch = self._encoded(given) if isinstance(given, PhotoBatch) else given
        return batch_losses(self.combiner, batch, self._config, self.combiner.config.prefix_dims)

    def _encoded(self, photos: PhotoBatch) -> Batch:
        assert self.encoders is not None
        image, text, mask = self.encoders.encode(photos.pixels, photos.captions, photos.shown)
        return make_batch(self._data, photos.mix, image, text, mask)


class Learner:
    """Takes steps, and can be saved between any two of them."""

    def __init__(
        self,
        combiner: FeatureCombiner,
        data: TrainingImages,
        config: TrainConfig,
        accelerator: Accelerator,
        num_steps: int,
    ) -> None:
        self.combiner, self.encoders, self.accelerator = combiner, data.encoders, accelerator
        groups, rates = _groups(combiner, data.encoders, config)
        optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        # Not prepared: accelerate would move it once per process, and `num_steps` counts steps.
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, num_steps)
        self.model, self.optimizer = accelerator.prepare(
            Objective(combiner, data, config), optimizer
        )

    def step(self, batches: Sequence[Batch | PhotoBatch], epoch: int, first: int) -> Metrics:
        """Take one step on the mean loss of a few batches; give losses and gradient norm.

        Args:
            batches: their gradients are added up.
            epoch: which this is, for an error.
            first: how many batches of the epoch came before.

        Raises:
            InvalidError: a loss is not a number.
        """
        self.combiner.train()
        figures: Metrics = {}
        for number, batch in enumerate(batches, start=1):
            last = number == len(batches)
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                losses = self.model(batch)
                total = torch.stack(list(losses.values())).sum()
                if not self.accelerator.gather(total.detach()[None]).isfinite().all():
                    raise InvalidError(_not_finite(epoch, first + number, batch))
                self.accelerator.backward(total / len(batches))
            for name, loss in losses.items():
                key = f"loss_{name}"
                figures[key] = figures.get(key, 0.0) + loss.item() / len(batches)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
        # Under fp16 such a step is skipped; elsewhere it would spoil all weights.
        if self.accelerator.scaler is None and not torch.isfinite(norm):
            raise InvalidError(_not_finite(epoch, first + 1, batches[0]))
        self.optimizer.step()
        if not self.accelerator.optimizer_step_was_skipped:  # a scale too large for fp16
            self.schedule.step()
        self.optimizer.zero_grad()
        return figures | {"gradient_norm": float(norm)}

    def rate(self) -> float:
        """Give the present learning rate of what started at random."""
        return float(self.schedule.get_last_lr()[0])

    def weights(self) -> dict[str, Tensor]:
        """Give what is trained: the combiner and, where there are some, adapters."""
        combiner = {f"combiner.{name}": each for name, each in self.combiner.state_dict().items()}
        adapters = {} if self.encoders is None else self.encoders.weights()
        return combiner | {f"encoders.{name}": each.data for name, each in adapters.items()}

    @torch.no_grad()
    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Set what is trained."""
        for name, tensor in self.weights().items():
            tensor.copy_(weights[name])

    def parts(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        """Give the tensors and the rest of what the next step depends on."""
        moments, groups = optimizer_state(self.optimizer.optimizer)
        scaler = self.accelerator.scaler
        rest = {
            "groups": groups,
            "schedule": self.schedule.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
        }
        return {"weights": self.weights(), "optimizer": moments}, rest

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where `parts` were taken."""
        rest = checkpoint.state["learner"]
        self.load_weights(checkpoint.part("weights"))
        restore_optimizer(self.optimizer.optimizer, checkpoint.part("optimizer"), rest["groups"])
        self.schedule.load_state_dict(rest["schedule"])
        if rest["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(rest["scaler"])


def sizes(combiner: FeatureCombiner, encoders: AdaptedEncoders | None) -> str:
    """Say how many numbers are trained and how many are not."""
    trained = {"combiner": sum(each.numel() for each in combiner.parameters())}
    frozen = "encoders (their tokens are stored)"
    if encoders is not None:
        trained["adapters"] = sum(each.numel() for each in encoders.weights().values())
        frozen = _listed(encoders.count_frozen())
    return f"trainable: {_listed(trained)}; frozen: {frozen}"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _groups(
    combiner: FeatureCombiner, encoders: AdaptedEncoders | None, config: TrainConfig
) -> tuple[list[dict[str, Any]], list[float]]:
    """Group parameters by how fast they may move."""
    fitted = [each for module in combiner.fitted_modules() for each in module.parameters()]
    known = {id(each) for each in (*fitted, combiner.text_scale)}
    free = [each for each in combiner.parameters() if id(each) not in known]
    groups: list[dict[str, Any]] = [
        {"params": free, "weight_decay": config.weight_decay},
        {"params": fitted},
        {"params": [combiner.text_scale]},
    ]
    rates = [config.learning_rate, config.fitted_learning_rate, config.scale_learning_rate]
    if encoders is not None:
        adapters = list(encoders.weights().values())
        groups.append({"params": adapters, "weight_decay": config.weight_decay})
        rates.append(config.adapter_learning_rate)
    return groups, rates


def _not_finite(epoch: int, number: int, batch: Batch | PhotoBatch) -> str:
    given = batch.places if isinstance(batch, Batch) else torch.from_numpy(batch.mix.places)
    places = ", ".join(map(str, given.unique()[:5].tolist()))
    return (
        f"the loss or its gradient is not a number in epoch {epoch}, batch {number} "
        f"(places {places} ...); look for damaged images or features there, or lower the learning "
        "rate; what was best before is kept"
    )
