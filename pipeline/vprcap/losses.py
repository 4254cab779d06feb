"""The training objective: descriptors of one place together, of different places apart.

Multi-Similarity loss and miner (Wang et al., 2019) with the constants that place recognition has
settled on since GSV-Cities (alpha 1, beta 50, base 0, epsilon 0.1); their code is
pytorch-metric-learning's. Two places closer than the positive radius may show the same street, so
their pairs are neither positive nor negative.
"""

import torch
from jaxtyping import Float, Int
from pytorch_metric_learning.losses import MultiSimilarityLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from torch import Tensor

ALPHA, BETA, BASE, EPSILON = 1.0, 50.0, 0.0, 0.1
SMALLEST_SHARE = 1e-6


def place_loss(
    descriptors: Float[Tensor, "batch descriptor_dim"],
    places: Int[Tensor, " batch"],
    positions: Float[Tensor, "batch 2"] | None = None,
    exclusion_m: float = 25.0,
) -> Float[Tensor, ""]:
    """Multi-Similarity loss of a batch of descriptors.

    Args:
        descriptors: of unit length.
        places: equal numbers are one place.
        positions: easting and northing in metres; without them no pair is left out.
        exclusion_m: pairs of different places that are closer are left out.
    """
    # 50 times a similarity of 8 bits would be noise: under mixed precision, too, this is float32.
    with torch.autocast(descriptors.device.type, enabled=False):
        anchor, positive, other, negative = MultiSimilarityMiner(EPSILON)(descriptors, places)
        if positions is not None:
            apart = (positions[other] - positions[negative]).norm(dim=-1) >= exclusion_m
            other, negative = other[apart], negative[apart]
        loss: Tensor = MultiSimilarityLoss(ALPHA, BETA, BASE)(
            descriptors, places, (anchor, positive, other, negative)
        )
    return loss


def relevance_loss(
    own: Float[Tensor, " own"], strangers: Float[Tensor, " strangers"]
) -> Float[Tensor, ""]:
    """Cross-entropy of the mean gate: near 1 for an image's own caption, near 0 for another's.

    Both kinds weigh the same, however many there are of each.
    """
    return (_surprise(own) + _surprise(1 - strangers)) / 2


def _surprise(believed: Float[Tensor, " captions"]) -> Tensor:
    """Mean negative logarithm; 0 for none."""
    return -believed.float().clamp(min=SMALLEST_SHARE).log().sum() / max(1, len(believed))
