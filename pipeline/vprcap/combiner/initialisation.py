"""Starts a combiner from what can be computed without training.

Visual words, whitening of both streams and the comparison of caption with image are fitted on
stored features in closed form (`closed_form`). On photographs the image side is then already hard
to beat; the weight of the text in the descriptor stays at zero, so that training decides what the
captions of this data set are worth.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn.functional import normalize

from vprcap.combiner.closed_form import Layer, Space, fit_space, visual_words, whitening
from vprcap.combiner.combiner import FeatureCombiner
from vprcap.combiner.pooling import WordPooling
from vprcap.combiner.recalibration import (
    AGREEMENT_DIM,
    Agreement,
    GlobalGate,
    MaxCosineGate,
    TokenGate,
    best_cosine,
    masked_mean,
)

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
    _fit_pooling(combiner, image_tokens, np.random.default_rng(seed))
    pooled = torch.cat([combiner.pool(block) for block in _blocks(combiner, image_tokens)])
    _set(combiner.compress_image, whitening(pooled, combiner.config.descriptor_dim))
    captioned = text_mask.any(axis=1)
    if captioned.sum() < MIN_CAPTIONS:
        return
    rows = np.flatnonzero(captioned)
    text = torch.from_numpy(text_tokens[rows].astype(np.float32))
    mask = torch.from_numpy(text_mask[rows])
    captions = masked_mean(text, mask)
    images = normalize(combiner.compress_image(pooled[torch.from_numpy(rows)]), dim=-1)
    _fit_text(combiner, images, captions)
    match combiner.recalibrate:
        case MaxCosineGate(agreement=gate):
            _fit_tokens(combiner, gate, image_tokens[rows], text, mask, places[rows])
        case TokenGate(agreement=gate) | GlobalGate(agreement=gate):
            _fit_whole(gate, images, captions, places[rows])


def _fit_text(
    combiner: FeatureCombiner,
    images: Float[Tensor, "rows descriptor_dim"],
    captions: Float[Tensor, "rows text_dim"],
) -> None:
    """Whiten captions, turned so that a caption lies as near as it can to its image.

    A turn leaves the similarities among captions as they are (orthogonal Procrustes, Schonemann
    1966); it lets words find images, and what a caption says count towards what an image shows.
    """
    combiner.no_text.copy_(captions.mean(dim=0))
    white = whitening(captions, combiner.config.descriptor_dim)
    left, _, right = torch.linalg.svd(images.T @ normalize(white(captions), dim=-1))
    turn = left @ right
    _set(combiner.compress_text, Layer(turn @ white.weight, turn @ white.bias))


def _fit_pooling(
    combiner: FeatureCombiner,
    image_tokens: Shaped[np.ndarray, "images tokens image_dim"],
    rng: np.random.Generator,
) -> None:
    chosen = rng.integers(1, image_tokens.shape[1], (len(image_tokens), TOKENS_PER_IMAGE))
    tokens = np.take_along_axis(image_tokens, chosen[..., None], axis=1)
    sample = torch.from_numpy(tokens.astype(np.float32)).flatten(0, 1)
    combiner.token_mean.copy_(sample.mean(dim=0))
    combiner.token_scale.copy_(sample.std(dim=0).clamp(min=MIN_SCALE))
    if isinstance(combiner.pool, WordPooling):
        words = visual_words(combiner.standardised(sample), combiner.config.num_words, rng)
        combiner.pool.words.copy_(words)


def _blocks(
    combiner: FeatureCombiner, image_tokens: Shaped[np.ndarray, "images tokens image_dim"]
) -> Iterator[Float[Tensor, "block tokens image_dim"]]:
    """Standardised tokens, some images at a time: all at once would not fit."""
    for start in range(0, len(image_tokens), BLOCK):
        block = torch.from_numpy(image_tokens[start : start + BLOCK].astype(np.float32))
        yield combiner.standardised(block)


def _fit_whole(
    gate: Agreement,
    images: Float[Tensor, "rows image_dim"],
    captions: Float[Tensor, "rows text_dim"],
    places: Int[np.ndarray, " rows"],
) -> None:
    """Compare a caption as a whole with the image's descriptor."""
    _adopt(gate, fit_space(images, captions, places, AGREEMENT_DIM))


def _fit_tokens(
    combiner: FeatureCombiner,
    gate: Agreement,
    image_tokens: Shaped[np.ndarray, "rows tokens image_dim"],
    text: Float[Tensor, "rows length text_dim"],
    mask: Bool[Tensor, "rows length"],
    places: Int[np.ndarray, " rows"],
) -> None:
    """Compare each word piece with each patch, in the space where the means of both agree."""
    means = torch.cat([block[:, 1:].mean(dim=1) for block in _blocks(combiner, image_tokens)])
    white = whitening(means, means.shape[1])

    def best(image: Layer, words: Layer, here: Tensor, there: Tensor) -> Tensor:
        cosines = []
        blocks = _blocks(combiner, image_tokens[here.numpy()])
        for block, rows in zip(blocks, there.split(BLOCK), strict=True):
            cosine = best_cosine(image(white(block[:, 1:])), words(text[rows]))
            cosines.append(masked_mean(cosine[..., None], mask[rows]).squeeze(-1))
        return torch.cat(cosines)

    space = fit_space(white(means), masked_mean(text, mask), places, AGREEMENT_DIM, best)
    _adopt(gate, space._replace(image=space.image.after(white)))


def _adopt(gate: Agreement, space: Space) -> None:
    _set(gate.image, space.image)
    _set(gate.text, space.text)
    gate.slope.fill_(space.slope)
    gate.offset.fill_(space.offset)


def _set(linear: nn.Linear, layer: Layer) -> None:
    linear.weight.copy_(layer.weight)
    linear.bias.copy_(layer.bias)
