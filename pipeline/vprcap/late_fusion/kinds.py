"""Fits each kind of fusion: what it is made from, and how fast it learns."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vprcap.late_fusion.fitted import FittedFusion, Fusion, ImageAlone
from vprcap.late_fusion.learning import Learned, learn
from vprcap.late_fusion.pair import Pair
from vprcap.late_fusion.projection import Addition, Mlp
from vprcap.late_fusion.strangers import stranger_moments
from vprcap.late_fusion.weighting import DynamicWeighting, FixedWeight, WeightedSum
from vprcap.training import TrainConfig, TrainingSet

SCALAR_RATE, NETWORK_RATE = 5e-2, 1e-3
"""Learning rates of the one fixed weight, and of everything else that learns."""
LEAST_DEVIATION = 1e-6
"""Similarities that vary less, as those of equal captions, say nothing; the rest is rounding."""


def fit_kind(
    name: str,
    pairs: Pair,
    places: Int[np.ndarray, " images"],
    positions: Float[np.ndarray, "images 2"] | None,
    traversals: Int[np.ndarray, " images"] | None,
    seed: int,
) -> FittedFusion:
    """Fit one of LATE_FUSIONS; see `fit_late_fusion`."""
    # A finished descriptor is a single token.
    tokens = pairs.image[:, None], pairs.text[:, None], pairs.has_text[:, None]
    data = TrainingSet(*tokens, places, positions, traversals)
    moments = torch.tensor(
        [
            stranger_moments(pairs.image, pairs.has_image, places, positions),
            stranger_moments(pairs.text, pairs.has_text, places, positions),
        ]
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        fusion = _start(name, pairs, *moments.T)
        if isinstance(fusion, Learned):
            rate = SCALAR_RATE if isinstance(fusion, FixedWeight) else NETWORK_RATE
            learn(fusion, data, TrainConfig(seed=seed), rate)
    return FittedFusion(name, fusion, pairs.dims)


def _start(
    name: str, pairs: Pair, means: Float[Tensor, "2"], deviations: Float[Tensor, "2"]
) -> Fusion:
    image, text = torch.from_numpy(pairs.image), torch.from_numpy(pairs.text)
    match name:
        case "concatenation":
            return WeightedSum(torch.tensor([0.5, 0.5]), means)
        case "z-score":
            return WeightedSum((1 / deviations).where(deviations > LEAST_DEVIATION, 0.0), means)
        case "fixed-weight":
            return FixedWeight(means)
        case "dynamic-weighting":
            return DynamicWeighting(*pairs.dims, means)
        case "addition":
            return Addition(image, text)
        case "mlp":
            return Mlp(image, text)
    return ImageAlone()  # text re-ranking: the text comes in afterwards
