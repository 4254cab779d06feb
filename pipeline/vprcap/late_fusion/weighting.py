"""Fusions that add the two similarities with weights: shared by all images, or an image's own.

A row of zeros is a descriptor that does not exist. An unknown similarity counts as the mean over
images of different places, so that an image without a caption is neither favoured nor hidden.
For an inner product that takes one number more per modality: in the database `weight * mean` where
the descriptor is missing, in the query 1 where it exists.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

HIDDEN = 256
"""Hidden numbers of the network that gives dynamic weights."""

Image = Float[Tensor, "batch image_dim"]
Text = Float[Tensor, "batch text_dim"]
Fused = Float[Tensor, "batch dim"]


class WeightedSum(nn.Module):
    """a v.v' + b t.t', as [sqrt(a) v; sqrt(b) t] . [sqrt(a) v'; sqrt(b) t'].

    Concatenation has 1/2 and 1/2. A z-score has 1/sd_v and 1/sd_t: what it subtracts, mean_v/sd_v
    + mean_t/sd_t, is the same for every pair, so it is left out and no ranking changes.
    """

    weights: Float[Tensor, "2"]
    means: Float[Tensor, "2"]

    def __init__(self, weights: Float[Tensor, "2"], means: Float[Tensor, "2"]) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("means", means)

    def forward(self, image: Image, text: Text) -> tuple[Fused, Fused]:
        """Vectors to ask with, and vectors to be searched."""
        return _weighted_sum(image, text, self.weights, self.means)


class FixedWeight(nn.Module):
    """a v.v' + (1 - a) t.t' with one learned a between 0 and 1, which starts at 1/2."""

    means: Float[Tensor, "2"]

    def __init__(self, means: Float[Tensor, "2"]) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.zeros(()))
        self.register_buffer("means", means)

    @property
    def weights(self) -> Float[Tensor, "2"]:
        """a and 1 - a."""
        return torch.stack([self.logit, -self.logit]).sigmoid()

    def forward(self, image: Image, text: Text) -> tuple[Fused, Fused]:
        """Vectors to ask with, and vectors to be searched."""
        return _weighted_sum(image, text, self.weights, self.means)


class DynamicWeighting(nn.Module):
    """Each image weighs its own modalities; a pair takes the mean of both images' weights.

    (wv_i + wv_j)/2 v_i.v_j = [wv_i v_i / 2; v_i / 2] . [v_j; wv_j v_j], and so for the text: what
    looks like a score per pair is one inner product of asymmetric vectors. A query that has one
    modality asks [v; 0] instead, which is v.v' whatever the weights of the database are.
    """

    means: Float[Tensor, "2"]

    def __init__(self, image_dim: int, text_dim: int, means: Float[Tensor, "2"]) -> None:
        super().__init__()
        self.hidden = nn.Linear(image_dim + text_dim, HIDDEN)
        self.output = nn.Linear(HIDDEN, 2)
        # Unit vectors give hidden numbers near 1; equal weights at the start are concatenation.
        nn.init.normal_(self.hidden.weight)
        for parameter in (self.hidden.bias, self.output.weight, self.output.bias):
            nn.init.zeros_(parameter)
        self.register_buffer("means", means)

    def weights(self, image: Image, text: Text) -> Float[Tensor, "batch 2"]:
        """Weights of image and text; they add up to 1, and are 1 for one that is alone."""
        hidden = self.hidden(torch.cat([image, text], dim=1)).relu()
        present = torch.stack([_present(image), _present(text)], dim=1)
        # A row that has neither keeps finite numbers; all its vectors are zero.
        missing = ~present & present.any(dim=1, keepdim=True)
        weights: Tensor = self.output(hidden).masked_fill(missing, -torch.inf).softmax(dim=1)
        return weights

    def forward(self, image: Image, text: Text) -> tuple[Fused, Fused]:
        """Vectors to ask with, and vectors to be searched."""
        weights = self.weights(image, text)
        both = (_present(image) & _present(text))[:, None]
        own, other = torch.where(both, weights / 2, 1.0), both / 2
        ask, answer = [], []
        for column, vectors in enumerate((image, text)):
            weight, share = weights[:, column, None], own[:, column, None]
            present = _present(vectors)[:, None]
            ask += [share * vectors, other * vectors, share * present]
            answer += [vectors, weight * vectors, self.means[column] * ~present]
        return torch.cat(ask, dim=1), torch.cat(answer, dim=1)


def _weighted_sum(
    image: Image, text: Text, weights: Float[Tensor, "2"], means: Float[Tensor, "2"]
) -> tuple[Fused, Fused]:
    roots = weights.sqrt()
    weighted = torch.cat([roots[0] * image, roots[1] * text], dim=1)
    present = torch.stack([_present(image), _present(text)], dim=1)
    return (
        torch.cat([weighted, present], dim=1),
        torch.cat([weighted, weights * means * ~present], dim=1),
    )


def _present(vectors: Float[Tensor, "batch _"]) -> Bool[Tensor, " batch"]:
    return vectors.any(dim=1)
