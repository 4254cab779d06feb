"""The training loop."""

import time
from collections import defaultdict
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from jaxtyping import Shaped
from torch import Tensor

from vprcap.combiner import CombinerConfig, FeatureCombiner, initialise
from vprcap.errors import InvalidError
from vprcap.training.config import TrainConfig
from vprcap.training.data import Batch, Rows, TrainingSet, draw_batches, read_batch, split_places
from vprcap.training.objective import batch_losses
from vprcap.training.validation import validate

INITIAL_IMAGES = 2000
"""Images that the closed forms are fitted on, at most."""
MAX_GRADIENT_NORM = 1.0
TEXT_SCALES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weights of the text that validation chooses from before training; 0 is the image alone."""

Metrics = dict[str, float]


def fit(
    data: TrainingSet,
    combiner_config: CombinerConfig,
    config: TrainConfig,
    on_epoch: Callable[[Metrics], None] = lambda metrics: None,
) -> FeatureCombiner:
    """Train a combiner and return its best state by validation R@1, fused; it is on the CPU.

    Args:
        data: images with known places.
        combiner_config: sizes; its token lengths must be those of the data.
        config: how to train. On a CPU, equal values and threads give equal weights.
        on_epoch: called with the figures of each epoch; the first, epoch 0, is before training.

    Raises:
        InvalidError: token lengths differ from the configuration, or the loss is not a number.
    """
    accelerator = Accelerator(mixed_precision=config.precision)
    rows_of, held = split_places(data, config)
    num_batches = sum(1 for _ in draw_batches(rows_of, config, epoch=1))
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        combiner = _initialised(data, combiner_config, config.seed).to(accelerator.device)
        _weigh_text(combiner, data, held, config)
        learner = _Learner(combiner, config, accelerator, num_batches * config.epochs)
        best, best_score, waited = deepcopy(combiner.state_dict()), (-1.0, -1.0), 0
        for epoch in range(config.epochs + 1):
            metrics = learner.train(data, rows_of, epoch) if epoch else {}
            metrics |= {"epoch": float(epoch)} | validate(combiner, data, held, config)
            on_epoch(metrics)
            score, waited = (metrics["doubted_map"], metrics["fused_map"]), waited + 1
            if score > best_score:
                best, best_score, waited = deepcopy(combiner.state_dict()), score, 0
            if waited >= config.patience:
                break
    combiner.load_state_dict(best)
    return combiner.cpu().eval()


class _Learner:
    """Model, optimiser and schedule of one training, behind accelerate."""

    def __init__(
        self, combiner: FeatureCombiner, config: TrainConfig, accelerator: Accelerator, steps: int
    ) -> None:
        groups, rates = _groups(combiner, config)
        optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps)
        self.config = config
        self.dims = combiner.config.prefix_dims
        self.accelerator = accelerator
        self.combiner, self.optimizer, self.schedule = accelerator.prepare(
            combiner, optimizer, schedule
        )

    def train(self, data: TrainingSet, rows_of: list[Rows], epoch: int) -> Metrics:
        """Train one epoch; give mean losses, mean gradient norm and seconds."""
        started = time.monotonic()
        rng = np.random.default_rng((self.config.seed, epoch, 1))
        history: dict[str, list[float]] = defaultdict(list)
        self.combiner.train()
        for rows in draw_batches(rows_of, self.config, epoch):
            batch = read_batch(data, rows, self.config, rng, self.accelerator.device)
            losses = batch_losses(self.combiner, batch, self.config, self.dims)
            total = torch.stack(list(losses.values())).sum()
            if not total.isfinite():
                raise InvalidError(_not_finite(epoch, len(history["gradient_norm"]), batch))
            history["gradient_norm"].append(self._step(total))
            for name, loss in losses.items():
                history[f"loss_{name}"].append(loss.item())
        means = {name: sum(values) / len(values) for name, values in history.items()}
        return means | {"seconds": time.monotonic() - started}

    def _step(self, loss: Tensor) -> float:
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.combiner.parameters(), MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        return float(norm)


def _groups(
    combiner: FeatureCombiner, config: TrainConfig
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
    return groups, [config.learning_rate, config.fitted_learning_rate, config.scale_learning_rate]


def _initialised(data: TrainingSet, config: CombinerConfig, seed: int) -> FeatureCombiner:
    """Make a combiner and fit what needs no training on a sample of the images."""
    image_dim, text_dim = data.image_tokens.shape[2], data.text_tokens.shape[2]
    if (image_dim, text_dim) != (config.image_dim, config.text_dim):
        raise InvalidError(
            f"tokens have {image_dim} (image) and {text_dim} (text) numbers, but the combiner is "
            f"configured for {config.image_dim} and {config.text_dim}"
        )
    combiner = FeatureCombiner(config)
    some = slice(None, None, -(-len(data.places) // INITIAL_IMAGES))
    image, text, mask = data.image_tokens[some], data.text_tokens[some], data.text_mask[some]
    for tokens, encoder in ((image, "image"), (text, "text")):
        _check_finite(tokens, data.places[some], encoder)
    initialise(combiner, image, text, mask, data.places[some], seed)
    return combiner


def _check_finite(
    tokens: Shaped[np.ndarray, "images tokens dim"], places: Rows, encoder: str
) -> None:
    """Name places with damaged features: the closed form cannot work with a NaN."""
    damaged = [row for row in range(len(tokens)) if not np.isfinite(tokens[row]).all()]
    if damaged:
        raise InvalidError(
            f"{encoder} features of {len(damaged)} images are not finite, first of place "
            f"{places[damaged[0]]}; remove that feature set and extract it again"
        )


@torch.no_grad()
def _weigh_text(
    combiner: FeatureCombiner, data: TrainingSet, held: Rows, config: TrainConfig
) -> None:
    """Choose the weight of the text by the recall of held-out places; the least of equals wins."""
    recalls = []
    for scale in TEXT_SCALES:
        combiner.text_scale.fill_(scale)
        recalls.append(validate(combiner, data, held, config)["doubted_map"])
    combiner.text_scale.fill_(TEXT_SCALES[int(np.argmax(recalls))])


def _not_finite(epoch: int, batch_row: int, batch: Batch) -> str:
    places = ", ".join(map(str, batch.places.unique()[:5].tolist()))
    return (
        f"the loss is not a number in epoch {epoch}, batch {batch_row + 1} (places {places} ...); "
        "look for damaged features there, or lower the learning rate"
    )
