"""AT-REC: how far each text token deserves belief, given the image.

The abstract of arXiv 2407.06730 asks for a token-wise attention block that recalibrates text
tokens by their relevance to the image data. Our choices:

* The verdict on a token is one number between 0 and 1. It can be shown to a person and averaged
  into the reliability of the whole caption, which a channel-wise gate cannot.
* Two kinds of evidence are added up. The caption as a whole is compared with the image as a whole
  in a space where the two agree most (canonical correlation, fitted in closed form by
  `combiner.initialise`); this tells a caption from another place's after a few hundred pairs. Then
  every token reads the image by cross-attention and a small network compares the token with what
  it read; this starts silent and is learned.

``token-wise`` has both kinds of evidence, ``global`` the first alone, so that all tokens of a
caption share a verdict. ``max-cosine`` is the strong simple rival: a token is believed by the
cosine to the patch that it fits best, with two numbers to learn. ``none`` believes everything.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, normalize

from vprcap.combiner.attention import CrossAttention, start_at_zero
from vprcap.combiner.config import CombinerConfig

AGREEMENT_DIM = 32
"""Canonical directions; of 16, 32 and 48 the best at telling captions of other places."""


def build_gate(config: CombinerConfig) -> nn.Module:
    """Build the gate that a configuration names."""
    match config.gate:
        case "none":
            return OpenGate()
        case "global":
            return GlobalGate(config)
        case "max-cosine":
            return MaxCosineGate(config)
        case _:
            return TokenGate(config)


class Agreement(nn.Module):
    """Log-odds that a text belongs to an image, from their cosine in a common space."""

    def __init__(self, image_dim: int, text_dim: int) -> None:
        super().__init__()
        self.image = nn.Linear(image_dim, AGREEMENT_DIM)
        self.text = nn.Linear(text_dim, AGREEMENT_DIM)
        self.slope = nn.Parameter(torch.tensor(0.0))
        self.offset = nn.Parameter(torch.tensor(2.0))  # sigmoid(2) = 0.88, near "keep"

    def forward(
        self, image: Float[Tensor, "batch image_dim"], text: Float[Tensor, "batch text_dim"]
    ) -> Float[Tensor, " batch"]:
        """Compare row with row."""
        cosine = cosine_similarity(self.text(text), self.image(image), dim=-1)
        return self.slope * cosine + self.offset

    def best(
        self,
        image: Float[Tensor, "batch tokens image_dim"],
        text: Float[Tensor, "batch length text_dim"],
    ) -> Float[Tensor, "batch length"]:
        """Compare each text token with the image token that it fits best."""
        return self.slope * best_cosine(self.image(image), self.text(text)) + self.offset


class OpenGate(nn.Module):
    """Believes every token."""

    def forward(
        self,
        text: Float[Tensor, "batch length text_dim"],
        text_mask: Bool[Tensor, "batch length"],
        *_: Any,
    ) -> Float[Tensor, "batch length"]:
        """Give 1 to each token and 0 to padding."""
        return text_mask.to(text)


class GlobalGate(nn.Module):
    """One verdict for all tokens of a caption."""

    def __init__(self, config: CombinerConfig) -> None:
        super().__init__()
        self.agreement = Agreement(config.descriptor_dim, config.text_dim)

    def forward(
        self,
        text: Float[Tensor, "batch length text_dim"],
        text_mask: Bool[Tensor, "batch length"],
        image: Float[Tensor, "batch tokens image_dim"],
        summary: Float[Tensor, "batch summary_dim"],
    ) -> Float[Tensor, "batch length"]:
        """Give the gate of each token; padding gets 0. Arguments as of `TokenGate`."""
        whole = self.agreement(summary, masked_mean(text, text_mask))
        return torch.sigmoid(whole)[:, None] * text_mask


class MaxCosineGate(nn.Module):
    """A verdict per token from its best patch; only slope and offset learn, the space is fitted."""

    def __init__(self, config: CombinerConfig) -> None:
        super().__init__()
        self.agreement = Agreement(config.image_dim, config.text_dim)
        for linear in (self.agreement.image, self.agreement.text):
            linear.requires_grad_(False)

    def forward(
        self,
        text: Float[Tensor, "batch length text_dim"],
        text_mask: Bool[Tensor, "batch length"],
        image: Float[Tensor, "batch tokens image_dim"],
        summary: Float[Tensor, "batch summary_dim"],
    ) -> Float[Tensor, "batch length"]:
        """Give the gate of each token; padding gets 0. Arguments as of `TokenGate`."""
        return torch.sigmoid(self.agreement.best(image[:, 1:], text)) * text_mask


class TokenGate(nn.Module):
    """A verdict per token: the caption's as a whole, moved by what the token finds in the image."""

    def __init__(self, config: CombinerConfig) -> None:
        super().__init__()
        text_dim, width = config.text_dim, config.width
        self.agreement = Agreement(config.descriptor_dim, text_dim)
        self.text_norm = nn.LayerNorm(text_dim)
        self.read = CrossAttention(text_dim, config.image_dim, width, config.num_heads)
        self.compare = nn.Sequential(
            nn.LayerNorm(3 * text_dim), nn.Linear(3 * text_dim, width), nn.GELU()
        )
        self.verdict = start_at_zero(nn.Linear(width, 1, bias=False))

    def forward(
        self,
        text: Float[Tensor, "batch length text_dim"],
        text_mask: Bool[Tensor, "batch length"],
        image: Float[Tensor, "batch tokens image_dim"],
        summary: Float[Tensor, "batch summary_dim"],
    ) -> Float[Tensor, "batch length"]:
        """Give the gate of each token; padding gets 0.

        Args:
            text: word pieces.
            text_mask: true where a word piece is.
            image: image tokens, which each word piece reads.
            summary: the image as a whole.
        """
        whole = self.agreement(summary, masked_mean(text, text_mask))
        asked = self.text_norm(text)
        seen = self.read(asked, image)
        evidence = torch.cat([asked, seen, asked * seen], dim=-1)  # (batch, length, 3 text_dim)
        single = self.verdict(self.compare(evidence)).squeeze(-1)
        moved = single - masked_mean(single[..., None], text_mask)
        return torch.sigmoid(whole[:, None] + moved) * text_mask


def best_cosine(
    image: Float[Tensor, "batch tokens dim"], text: Float[Tensor, "batch length dim"]
) -> Float[Tensor, "batch length"]:
    """Cosine of each text token and the image token nearest to it."""
    return (normalize(text, dim=-1) @ normalize(image, dim=-1).transpose(1, 2)).amax(dim=-1)


def mean_gate(
    gate: Float[Tensor, "batch length"], text_mask: Bool[Tensor, "batch length"]
) -> Float[Tensor, " batch"]:
    """Reliability of each caption: the mean gate of its tokens, 0 where there is no caption."""
    return masked_mean(gate[..., None], text_mask).squeeze(-1)


def masked_mean(
    tokens: Float[Tensor, "batch length dim"], mask: Bool[Tensor, "batch length"]
) -> Float[Tensor, "batch dim"]:
    """Mean of the tokens that the mask holds true; zeros where it holds none."""
    return (tokens * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
