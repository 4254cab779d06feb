"""From image tokens to one vector.

* ``words``: residuals around visual words (NetVLAD, Arandjelovic 2016). Averaging tokens forgets
  which parts of a street there were. Summing their residuals around a few visual words keeps it,
  and with words from k-means it needs no training at all (AnyLoc, Keetha 2023): on real
  photographs that alone beat every head that we trained from scratch. So the words are parameters
  that start from k-means, and training may only improve on them.
* ``gem``: generalised mean of the patches (Radenovic 2018) beside the class token.
* ``class``: the class token alone.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from vprcap.combiner.config import CombinerConfig

SHARPNESS = 10.0
"""How hard a token is assigned to its nearest word; of 10, 30 and hard assignment, 10 was best."""
SMALLEST = 1e-6


def build_pooling(config: CombinerConfig) -> "WordPooling | GemPooling | ClassPooling":
    """Build the pooling that a configuration names."""
    match config.pooling:
        case "gem":
            return GemPooling(config.image_dim)
        case "class":
            return ClassPooling(config.image_dim)
        case _:
            return WordPooling(config.image_dim, config.num_words)


class WordPooling(nn.Module):
    """Soft-assigned residuals of tokens around visual words, normalised per word and as a whole."""

    def __init__(self, image_dim: int, num_words: int) -> None:
        super().__init__()
        self.out_dim = num_words * image_dim
        self.words = nn.Parameter(normalize(torch.randn(num_words, image_dim), dim=-1))

    def forward(
        self, tokens: Float[Tensor, "batch tokens image_dim"]
    ) -> Float[Tensor, "batch residual_dim"]:
        """Pool the patches behind the class token into (words x image_dim) numbers of unit norm."""
        patches = normalize(tokens[:, 1:], dim=-1)
        # For unit tokens this orders words by distance: -|t - w|^2 = 2 t.w - |w|^2 - 1.
        closeness = 2 * patches @ self.words.T - self.words.square().sum(dim=-1)
        share = torch.softmax(SHARPNESS * closeness, dim=-1)  # (batch, patches, words)
        residuals = share.transpose(1, 2) @ patches - share.sum(dim=1)[..., None] * self.words
        return normalize(normalize(residuals, dim=-1).flatten(1), dim=-1)


class GemPooling(nn.Module):
    """Generalised mean of the patches, and the class token, both of unit norm, side by side."""

    def __init__(self, image_dim: int) -> None:
        super().__init__()
        self.out_dim = 2 * image_dim
        self.power = nn.Parameter(torch.tensor(3.0))

    def forward(
        self, tokens: Float[Tensor, "batch tokens image_dim"]
    ) -> Float[Tensor, "batch twice_dim"]:
        """Pool class token and patches; what is negative counts as nothing, as GeM has it."""
        patches = tokens[:, 1:].clamp(min=SMALLEST)
        mean = patches.pow(self.power).mean(dim=1).pow(1 / self.power)
        return torch.cat([normalize(mean, dim=-1), normalize(tokens[:, 0], dim=-1)], dim=-1)


class ClassPooling(nn.Module):
    """The class token."""

    def __init__(self, image_dim: int) -> None:
        super().__init__()
        self.out_dim = image_dim

    def forward(
        self, tokens: Float[Tensor, "batch tokens image_dim"]
    ) -> Float[Tensor, "batch image_dim"]:
        """Give the class token, of unit norm."""
        return normalize(tokens[:, 0], dim=-1)
