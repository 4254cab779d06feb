"""What a batch of tokens is trained for: each way to ask for a place has a share in the loss."""

import torch
from torch import Tensor, nn

from vprcap.combiner.recalibration import mean_gate
from vprcap.losses import place_loss, relevance_loss
from vprcap.training.config import TrainConfig
from vprcap.training.data import Batch


def batch_losses(combiner: nn.Module, batch: Batch, config: TrainConfig) -> dict[str, Tensor]:
    """Weighted losses of a batch; those of captions only where there are captions."""

    def apart(descriptors: Tensor, rows: Tensor) -> Tensor:
        positions = None if batch.positions is None else batch.positions[rows]
        return place_loss(descriptors, batch.places[rows], positions, config.exclusion_m)

    captioned = batch.mask.any(dim=1)
    everyone = torch.ones_like(captioned)
    fused, gate = combiner(batch.image, batch.text, batch.mask)
    alone, _ = combiner(batch.image)
    losses = {"fused": apart(fused, everyone)}
    losses["image"] = config.image_weight * apart(alone, everyone)
    if captioned.any():
        text, _ = combiner(None, batch.text[captioned], batch.mask[captioned])
        losses["text"] = config.text_weight * apart(text, captioned)
        mask = batch.mask[batch.strangers]
        _, denied = combiner(batch.image[batch.doubted], batch.text[batch.strangers], mask)
        losses["relevance"] = config.relevance_weight * relevance_loss(
            mean_gate(gate, batch.mask)[captioned], mean_gate(denied, mask)
        )
    return losses
