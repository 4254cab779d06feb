"""What a batch of tokens is trained for: each way to ask for a place has a share in the loss.

The beginnings of a descriptor are trained to be descriptors too (Matryoshka, Kusupati 2022): a
loss of descriptors is the mean of the losses at the lengths in `CombinerConfig.prefix_dims`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from vprcap.combiner.recalibration import mean_gate
from vprcap.losses import crossing_loss, place_loss, relevance_loss
from vprcap.training.config import TrainConfig
from vprcap.training.data import Batch


def batch_losses(
    combiner: nn.Module, batch: Batch, config: TrainConfig, dims: Sequence[int]
) -> dict[str, Tensor]:
    """Weighted losses of a batch; those of captions only where there are captions.

    Args:
        combiner: a `FeatureCombiner`, prepared or not.
        batch: tokens of some places.
        config: weights of the losses.
        dims: lengths at which descriptors are cut, see `CombinerConfig.prefix_dims`.
    """

    def apart(descriptors: Tensor, rows: Tensor) -> Tensor:
        positions = None if batch.positions is None else batch.positions[rows]
        where = batch.places[rows], positions, config.exclusion_m
        return _at_all_lengths(lambda cut: place_loss(cut, *where), dims, descriptors)

    captioned = batch.mask.any(dim=1)
    everyone = torch.ones_like(captioned)
    alone, _ = combiner(batch.image)
    losses = {"image": config.image_weight * apart(alone, everyone)}
    if not captioned.any():
        return losses
    fused, gate = combiner(batch.image, batch.text, batch.mask)
    losses["fused"] = apart(fused, everyone)
    text, _ = combiner(None, batch.text[captioned], batch.mask[captioned])
    losses["text"] = config.text_weight * apart(text, captioned)
    rows, where = captioned.nonzero()[:, 0], (batch.places, batch.positions, config.exclusion_m)
    losses["crossing"] = config.crossing_weight * _at_all_lengths(
        lambda words, images: crossing_loss(words, rows, images, *where), dims, text, alone
    )
    mask = batch.mask[batch.strangers]
    _, denied = combiner(batch.image[batch.doubted], batch.text[batch.strangers], mask)
    losses["relevance"] = config.relevance_weight * relevance_loss(
        mean_gate(gate, batch.mask)[captioned], mean_gate(denied, mask)
    )
    return losses


def _at_all_lengths(
    loss: Callable[..., Tensor], dims: Sequence[int], *descriptors: Tensor
) -> Tensor:
    """Mean of a loss of descriptors over the lengths that they are cut to."""
    cuts = ([normalize(each[:, :dim], dim=-1) for each in descriptors] for dim in dims)
    return torch.stack([loss(*cut) for cut in cuts]).mean()
