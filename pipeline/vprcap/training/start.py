"""Where a training starts: from what can be computed in closed form."""

import numpy as np
import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from jaxtyping import Shaped

from vprcap.combiner import CombinerConfig, FeatureCombiner, initialise
from vprcap.errors import InvalidError
from vprcap.training.config import TrainConfig
from vprcap.training.data import Tokens, TrainingImages
from vprcap.training.drawing import Rows
from vprcap.training.validation import validate

INITIAL_IMAGES = 2000
"""Images that the closed forms are fitted on, at most."""
TEXT_SCALES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weights of the text that validation chooses from before training; 0 is the image alone."""


def initial_combiner(
    data: TrainingImages,
    combiner_config: CombinerConfig,
    config: TrainConfig,
    held: Rows,
    accelerator: Accelerator,
) -> FeatureCombiner:
    """Make a combiner, fit what needs no training, and weigh the text by held-out places.

    Raises:
        InvalidError: tokens are of other lengths than configured, or not finite.
    """
    if data.dims != (combiner_config.image_dim, combiner_config.text_dim):
        raise InvalidError(
            f"tokens have {data.dims[0]} (image) and {data.dims[1]} (text) numbers, but the "
            f"combiner is configured for {combiner_config.image_dim} and {combiner_config.text_dim}"
        )
    combiner = FeatureCombiner(combiner_config)
    some = np.arange(0, len(data.places), -(-len(data.places) // INITIAL_IMAGES))
    with accelerator.autocast():
        tokens, judged = data.read(some), data.read(held)
    _check_finite(tokens.image, data.places[some], "image")
    _check_finite(tokens.text, data.places[some], "text")
    initialise(combiner, *tokens, data.places[some], config.seed)
    _weigh_text(combiner, judged, data, held, config)
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
    combiner: FeatureCombiner,
    tokens: Tokens,
    data: TrainingImages,
    held: Rows,
    config: TrainConfig,
) -> None:
    """Choose the weight of the text by the recall of held-out places; the least of equals wins."""
    if not tokens.mask.any():
        return
    recalls = []
    for scale in TEXT_SCALES:
        combiner.text_scale.fill_(scale)
        recalls.append(validate(combiner, data, held, config, tokens)["doubted_map"])
    combiner.text_scale.fill_(TEXT_SCALES[int(np.argmax(recalls))])
