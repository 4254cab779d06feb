"""What can be computed from features without training: words, whitening, agreement.

K-means gives the visual words; principal components scaled to equal variance give the compression
of either stream (Jegou and Chum, 2012); canonical correlation gives the space where a caption is
compared with its image. Place names serve only to keep apart what is fitted from what is checked.
Everything is deterministic.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cosine_similarity,
    normalize,
    one_hot,
)

KMEANS_ROUNDS = 20
NOISE_FLOOR = 1e-4
"""Components with a smaller share of the largest variance are noise and are left at zero."""
IMAGE_COMPONENTS, TEXT_COMPONENTS = 96, 64
"""Components of either side that canonical correlation sees; more fit the pairs by heart."""
FOLDS = 4
PAIRS_PER_COMPONENT = 4
"""Pairs that each component needs at least."""


class Layer(NamedTuple):
    """Weight and bias of a linear layer."""

    weight: Float[Tensor, "out_dim in_dim"]
    bias: Float[Tensor, " out_dim"]

    def __call__(self, inputs: Float[Tensor, "*_ in_dim"]) -> Float[Tensor, "*_ out_dim"]:
        """Apply the layer."""
        return inputs @ self.weight.T + self.bias

    def after(self, first: "Layer") -> "Layer":
        """Give the one layer that does what `first` and then this one do."""
        return Layer(self.weight @ first.weight, self(first.bias))


def visual_words(
    tokens: Float[Tensor, "tokens image_dim"], num_words: int, rng: np.random.Generator
) -> Float[Tensor, "num_words image_dim"]:
    """Cluster tokens by direction with k-means (Lloyd), from randomly chosen tokens."""
    tokens = normalize(tokens, dim=-1)
    # With fewer tokens than words some words start equal, and stay so until training.
    words = tokens[np.resize(rng.permutation(len(tokens)), num_words)]
    for _ in range(KMEANS_ROUNDS):
        nearest = (2 * tokens @ words.T - words.square().sum(dim=-1)).argmax(dim=-1)
        member = one_hot(nearest, num_words).to(tokens.dtype)  # (tokens, words)
        sizes = member.sum(dim=0)[:, None]
        words = torch.where(sizes > 0, member.T @ tokens / sizes.clamp(min=1), words)
    return words


def whitening(rows: Float[Tensor, "rows in_dim"], out_dim: int) -> Layer:
    """Fit the layer that turns rows into uncorrelated numbers, so scaled that a row has length 1.

    The components come from the Gram matrix of the rows, which are fewer than the numbers of a
    pooled image. Where there are fewer components than `out_dim`, the rest is zero.
    """
    mean = rows.mean(dim=0)
    centred = rows - mean
    values, vectors = torch.linalg.eigh((centred @ centred.T).double() / len(rows))
    values, vectors = values.flip(0)[:out_dim], vectors.flip(1)[:, :out_dim]
    kept = values > NOISE_FLOOR * values[0].clamp(min=1e-12)
    axes = vectors[:, kept] / (values[kept] * len(rows) ** 0.5)  # unit axis / std. deviation
    weight = rows.new_zeros(out_dim, rows.shape[1])
    weight[: len(axes.T)] = axes.T.to(rows.dtype) @ centred / max(1, len(axes.T)) ** 0.5
    return Layer(weight, -weight @ mean)


class Space(NamedTuple):
    """Where captions and images are compared, and what their cosine is worth there."""

    image: Layer
    text: Layer
    slope: float
    offset: float


Compare = Callable[[Layer, Layer, Tensor, Tensor], Tensor]
"""Cosines of images and captions, given the two layers of a space and the rows of either."""


def fit_space(
    images: Float[Tensor, "rows image_dim"],
    captions: Float[Tensor, "rows text_dim"],
    places: Int[np.ndarray, " rows"],
    dim: int,
    compare: Compare | None = None,
) -> Space:
    """Fit the space, and the probability that a caption is the image's own given their cosine.

    In the space that pairs were fitted in they agree too well. The probability is therefore fitted
    on the places of each fold in the space of the others; the space that is kept is fitted on all.

    Args:
        images: whitened, one vector an image.
        captions: one vector a caption.
        places: equal numbers show one place.
        dim: directions of the space.
        compare: how the cosine is taken; by default of the vectors themselves.
    """

    def whole(image: Layer, text: Layer, here: Tensor, there: Tensor) -> Tensor:
        return cosine_similarity(image(images[here]), text(captions[there]), dim=-1)

    cosines, own = [], []
    fold = np.unique(places, return_inverse=True)[1] % FOLDS
    for each in range(FOLDS):
        checked = torch.from_numpy(np.flatnonzero(fold == each))
        others = torch.from_numpy(np.flatnonzero(fold != each))
        layers = _canonical(images[others], captions[others], dim)
        stranger = checked[_of_other_places(places[checked])]
        for there, truth in ((checked, 1.0), (stranger, 0.0)):
            cosines.append((compare or whole)(*layers, checked, there))
            own.append(torch.full((len(checked),), truth))
    slope, offset = _logistic(torch.cat(cosines), torch.cat(own))
    return Space(*_canonical(images, captions, dim), slope, offset)


def _canonical(
    images: Float[Tensor, "rows image_dim"], captions: Float[Tensor, "rows text_dim"], dim: int
) -> tuple[Layer, Layer]:
    """Canonical correlation analysis, each direction weighted by the root of its correlation.

    Images come whitened, so that their components are the first numbers and no others.
    """
    limit = max(1, len(images) // PAIRS_PER_COMPONENT)
    leading = torch.eye(images.shape[1])[: min(IMAGE_COMPONENTS, limit)]
    white_image = Layer(leading, -leading @ images.mean(dim=0))
    white_text = whitening(captions, min(TEXT_COMPONENTS, limit))
    left, correlations, right = torch.linalg.svd(
        white_image(images).T @ white_text(captions), full_matrices=False
    )
    strength = correlations[:dim].sqrt()
    return (
        _padded(white_image, left.T[:dim] * strength[:, None], dim),
        _padded(white_text, right[:dim] * strength[:, None], dim),
    )


def _padded(layer: Layer, rotation: Float[Tensor, "found in_dim"], dim: int) -> Layer:
    """Rotate what a layer gives, with zeros for directions that were not found."""
    rows = torch.cat([rotation, rotation.new_zeros(dim - len(rotation), rotation.shape[1])])
    return Layer(rows @ layer.weight, rows @ layer.bias)


def _of_other_places(places: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    """For each row, the row half the set away when sorted by place: another place's."""
    order = np.argsort(places, kind="stable")
    stranger = np.empty_like(order)
    stranger[order] = np.roll(order, len(order) // 2)
    return stranger


def _logistic(
    cosines: Float[Tensor, " pairs"], own: Float[Tensor, " pairs"]
) -> tuple[float, float]:
    """Slope and offset of a logistic regression; a little decay keeps them finite."""
    line = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.LBFGS([line], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = line[0] * cosines + line[1]
        value = binary_cross_entropy_with_logits(logits, own) + 1e-4 * line.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    slope, offset = line.tolist()
    return slope, offset
