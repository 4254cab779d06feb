"""From image tokens to one vector: residuals around visual words (NetVLAD, Arandjelovic 2016).

Averaging tokens forgets which parts of a street there were. Summing their residuals around a few
visual words keeps it, and with words from k-means it needs no training at all (AnyLoc, Keetha
2023): on real photographs that alone beat every head that we trained from scratch. So the words
are parameters that start from k-means, and training may only improve on them.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

SHARPNESS = 10.0
"""How hard a token is assigned to its nearest word; of 10, 30 and hard assignment, 10 was best."""


class WordPooling(nn.Module):
    """Soft-assigned residuals of tokens around visual words, normalised per word and as a whole."""

    def __init__(self, image_dim: int, num_words: int) -> None:
        super().__init__()
        self.words = nn.Parameter(normalize(torch.randn(num_words, image_dim), dim=-1))

    def forward(
        self, tokens: Float[Tensor, "batch tokens image_dim"]
    ) -> Float[Tensor, "batch residual_dim"]:
        """Pool tokens of any number into (words x image_dim) numbers of unit norm."""
        tokens = normalize(tokens, dim=-1)
        # For unit tokens this orders words by distance: -|t - w|^2 = 2 t.w - |w|^2 - 1.
        closeness = 2 * tokens @ self.words.T - self.words.square().sum(dim=-1)
        share = torch.softmax(SHARPNESS * closeness, dim=-1)  # (batch, tokens, words)
        residuals = share.transpose(1, 2) @ tokens - share.sum(dim=1)[..., None] * self.words
        return normalize(normalize(residuals, dim=-1).flatten(1), dim=-1)
