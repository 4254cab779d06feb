"""Fits a fusion of two descriptors on images whose places are known."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from vprcap.errors import InvalidError
from vprcap.late_fusion.pair import LATE_FUSIONS, LateFusion, Pair
from vprcap.late_fusion.strangers import Moments, stranger_moments

if TYPE_CHECKING:
    from vprcap.late_fusion.fitted import Fusion
    from vprcap.late_fusion.learning import Learned

SCALAR_RATE, NETWORK_RATE, PROJECTION_RATE = 3e-2, 1e-3, 1e-4
"""Learning rates of the one fixed weight, of the network of dynamic weights, and of projections,
which start where they are already good."""
LEAST_DEVIATION = 1e-6
"""Similarities that vary less, as those of equal captions, say nothing; the rest is rounding."""


def fit_late_fusion(
    name: str,
    pairs: Pair,
    places: Int[np.ndarray, " images"],
    positions: Float[np.ndarray, "images 2"] | None = None,
    *,
    traversals: Int[np.ndarray, " images"] | None = None,
    seed: int = 0,
) -> LateFusion:
    """Fit one of LATE_FUSIONS; on a CPU, equal arguments and threads give equal scores.

    Args:
        name: the kind.
        pairs: descriptors of training images; some captions may be missing.
        places: equal numbers are one place.
        positions: easting and northing in metres; pairs of places closer than 25 m are left out.
        traversals: equal numbers are one drive, in which validation does not look for an image.
        seed: decides split, batches and random weights.

    Raises:
        InvalidError: an unknown kind, a place of one image, too few places, or no image that has
            both descriptors.
    """
    if name not in LATE_FUSIONS:
        raise InvalidError(f"no late fusion {name!r}; there are: {', '.join(LATE_FUSIONS)}")
    if not (pairs.has_image & pairs.has_text).any():
        raise InvalidError("no training image has an image and a text descriptor; caption the set")
    import torch

    from vprcap.late_fusion.fitted import FittedFusion
    from vprcap.late_fusion.learning import learn
    from vprcap.training import TrainConfig, TrainingSet

    moments = (
        stranger_moments(pairs.image, pairs.has_image, places, positions),
        stranger_moments(pairs.text, pairs.has_text, places, positions),
    )
    # A finished descriptor is a single token.
    tokens = (pairs.image[:, None], pairs.text[:, None], pairs.has_text[:, None])

    def learned(fusion: "Learned", learning_rate: float) -> "Learned":
        data = TrainingSet(*tokens, places, positions, traversals)
        learn(fusion, data, TrainConfig(seed=seed), learning_rate)
        return fusion

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FittedFusion(name, _fit(name, pairs, moments, learned), pairs.dims)


def _fit(
    name: str,
    pairs: Pair,
    moments: tuple[Moments, Moments],
    learned: Callable[["Learned", float], "Learned"],
) -> "Fusion":
    import torch

    from vprcap.late_fusion.fitted import ImageAlone
    from vprcap.late_fusion.projection import Addition, Mlp
    from vprcap.late_fusion.weighting import DynamicWeighting, FixedWeight, WeightedSum

    means = torch.tensor([each.mean for each in moments])
    image, text = torch.from_numpy(pairs.image), torch.from_numpy(pairs.text)
    match name:
        case "concatenation":
            return WeightedSum(torch.tensor([0.5, 0.5]), means)
        case "z-score":
            return WeightedSum(torch.tensor([_scale(each) for each in moments]), means)
        case "fixed-weight":
            return learned(FixedWeight(means), SCALAR_RATE)
        case "dynamic-weighting":
            return learned(DynamicWeighting(*pairs.dims, means), NETWORK_RATE)
        case "addition":
            return learned(Addition(image, text), PROJECTION_RATE)
        case "mlp":
            return learned(Mlp(image, text), PROJECTION_RATE)
    return ImageAlone()  # text-rerank: its text comes in afterwards


def _scale(moments: Moments) -> float:
    return 1 / moments.deviation if moments.deviation > LEAST_DEVIATION else 0.0
