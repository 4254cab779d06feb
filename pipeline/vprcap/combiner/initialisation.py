"""Starts a combiner from what can be computed without training.

Visual words, whitening of both streams and the comparison of caption with image are fitted on
stored features in closed form (`closed_form`). On photographs the image side is then already hard
to beat; the weight of the text in the descriptor stays at zero, so that training decides what the
captions of this data set are worth.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn.functional import normalize

from vprcap.combiner.closed_form import Layer, fit_agreement, visual_words, whitening
from vprcap.combiner.combiner import FeatureCombiner
from vprcap.combiner.recalibration import AGREEMENT_DIM, TextRecalibration, masked_mean

TOKENS_PER_IMAGE = 20
"""Tokens of each image that k-means sees."""
BLOCK = 64
"""Images that are pooled at once."""
MIN_SCALE = 1e-3
"""Smallest spread of a token's number that is still scaled to 1."""
MIN_CAPTIONS = 16
"""With fewer captions the text side stays as it is."""


@torch.no_grad()
def initialise(
    combiner: FeatureCombiner,
    image_tokens: Shaped[np.ndarray, "images tokens image_dim"],
    text_tokens: Shaped[np.ndarray, "images length text_dim"],
    text_mask: Bool[np.ndarray, "images length"],
    places: Int[np.ndarray, " images"],
    seed: int = 0,
) -> None:
    """Fit what needs no training, on the CPU.

    Args:
        combiner: changed in place; its descriptors are those of the images alone afterwards too.
        image_tokens: class token, then patches, of any float type; 2,000 images are enough.
        text_tokens: word pieces of the captions, of any float type.
        text_mask: true where a word piece is; images without a caption serve the image side.
        places: equal numbers show one place.
        seed: decides which tokens k-means sees.
    """
    _fit_words(combiner, image_tokens, np.random.default_rng(seed))
    pooled = _pooled(combiner, image_tokens)
    _set(combiner.compress_image, whitening(pooled, combiner.config.descriptor_dim))
    captioned = text_mask.any(axis=1)
    if captioned.sum() < MIN_CAPTIONS:
        return
    text = torch.from_numpy(text_tokens[captioned].astype(np.float32))
    captions = masked_mean(text, torch.from_numpy(text_mask[captioned]))
    combiner.no_text.copy_(captions.mean(dim=0))
    _set(combiner.compress_text, whitening(captions, combiner.config.descriptor_dim))
    images = normalize(combiner.compress_image(pooled[torch.from_numpy(captioned)]), dim=-1)
    _fit_gate(combiner.recalibrate, images, captions, places[captioned])


def _fit_words(
    combiner: FeatureCombiner,
    image_tokens: Shaped[np.ndarray, "images tokens image_dim"],
    rng: np.random.Generator,
) -> None:
    chosen = rng.integers(1, image_tokens.shape[1], (len(image_tokens), TOKENS_PER_IMAGE))
    tokens = np.take_along_axis(image_tokens, chosen[..., None], axis=1)
    sample = torch.from_numpy(tokens.astype(np.float32)).flatten(0, 1)
    combiner.token_mean.copy_(sample.mean(dim=0))
    combiner.token_scale.copy_(sample.std(dim=0).clamp(min=MIN_SCALE))
    words = visual_words(combiner.standardised(sample), combiner.config.num_words, rng)
    combiner.pool.words.copy_(words)


def _pooled(
    combiner: FeatureCombiner, image_tokens: Shaped[np.ndarray, "images tokens image_dim"]
) -> Float[Tensor, "images residual_dim"]:
    blocks = (image_tokens[at : at + BLOCK, 1:] for at in range(0, len(image_tokens), BLOCK))
    patches = (torch.from_numpy(block.astype(np.float32)) for block in blocks)
    return torch.cat([combiner.pool(combiner.standardised(each)) for each in patches])


def _fit_gate(
    gate: TextRecalibration,
    images: Float[Tensor, "rows image_dim"],
    captions: Float[Tensor, "rows text_dim"],
    places: Int[np.ndarray, " rows"],
) -> None:
    agreement = fit_agreement(images, captions, places, AGREEMENT_DIM)
    _set(gate.agree_image, agreement.image)
    _set(gate.agree_text, agreement.text)
    gate.slope.fill_(agreement.slope)
    gate.offset.fill_(agreement.offset)


def _set(linear: nn.Linear, layer: Layer) -> None:
    linear.weight.copy_(layer.weight)
    linear.bias.copy_(layer.bias)
