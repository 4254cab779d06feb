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


Pairs = tuple[Tensor, Tensor, Tensor, Tensor]
"""Anchors and their positives, anchors and their negatives."""


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
    everyone = torch.arange(len(places), device=places.device)
    with _in_float32(descriptors):
        pairs = MultiSimilarityMiner(EPSILON)(descriptors, places)
        pairs = _without_near(pairs, everyone, positions, exclusion_m)
        loss: Tensor = MultiSimilarityLoss(ALPHA, BETA, BASE)(descriptors, places, pairs)
    return loss


def crossing_loss(
    queries: Float[Tensor, "queries descriptor_dim"],
    rows: Int[Tensor, " queries"],
    descriptors: Float[Tensor, "batch descriptor_dim"],
    places: Int[Tensor, " batch"],
    positions: Float[Tensor, "batch 2"] | None = None,
    exclusion_m: float = 25.0,
) -> Float[Tensor, ""]:
    """Multi-Similarity loss of queries of one modality among descriptors of another.

    Every image of the place is a positive, also the one that the query itself is of.

    Args:
        queries: of unit length.
        rows: the image of the batch that each query is of.
        descriptors: of the images of the batch, of unit length.
        places: as for `place_loss`, and so the rest.
    """
    among: dict[str, Tensor] = {"ref_emb": descriptors, "ref_labels": places}
    with _in_float32(descriptors):
        pairs = MultiSimilarityMiner(EPSILON)(queries, places[rows], **among)
        pairs = _without_near(pairs, rows, positions, exclusion_m)
        loss: Tensor = MultiSimilarityLoss(ALPHA, BETA, BASE)(queries, places[rows], pairs, **among)
    return loss


def _in_float32(descriptors: Tensor) -> torch.autocast:
    """Leave mixed precision: 50 times a similarity of 8 bits would be noise."""
    return torch.autocast(descriptors.device.type, enabled=False)


def _without_near(
    pairs: Pairs, rows: Tensor, positions: Tensor | None, exclusion_m: float
) -> Pairs:
    """Drop pairs of different places too near to be told apart; `rows` are those of anchors."""
    if positions is None:
        return pairs
    anchor, positive, other, negative = pairs
    apart = (positions[rows[other]] - positions[negative]).norm(dim=-1) >= exclusion_m
    return anchor, positive, other[apart], negative[apart]


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
