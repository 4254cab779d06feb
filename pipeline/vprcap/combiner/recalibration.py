"""AT-REC: how far each text token deserves belief, given the image.

The abstract of arXiv 2407.06730 asks for a token-wise attention block that recalibrates text
tokens by their relevance to the image data. Our choices:

* The verdict on a token is one number between 0 and 1. It can be shown to a person and averaged
  into the reliability of the whole caption, which a channel-wise gate cannot.
* Two kinds of evidence are added up. The caption as a whole is compared with the image as a whole
  in a space where the two agree most (canonical correlation, fitted in closed form by
  `FeatureCombiner.initialise_from`); this tells a caption from another place's after a few hundred
  pairs. Then every token reads the image by cross-attention and a small network compares the token
  with what it read; this starts silent and is learned.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from vprcap.combiner.attention import CrossAttention, start_at_zero

AGREEMENT_DIM = 32
"""Canonical directions; of 16, 32 and 48 the best at telling captions of other places."""


class TextRecalibration(nn.Module):
    """A gate per text token."""

    def __init__(
        self, image_dim: int, text_dim: int, summary_dim: int, width: int, num_heads: int
    ) -> None:
        super().__init__()
        self.agree_image = nn.Linear(summary_dim, AGREEMENT_DIM)
        self.agree_text = nn.Linear(text_dim, AGREEMENT_DIM)
        self.slope = nn.Parameter(torch.tensor(0.0))
        self.offset = nn.Parameter(torch.tensor(2.0))  # sigmoid(2) = 0.88, near "keep"
        self.text_norm = nn.LayerNorm(text_dim)
        self.read = CrossAttention(text_dim, image_dim, width, num_heads)
        self.compare = nn.Sequential(
            nn.LayerNorm(3 * text_dim), nn.Linear(3 * text_dim, width), nn.GELU()
        )
        self.verdict = start_at_zero(nn.Linear(width, 1))

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
        whole = self.slope * self.agreement(text, text_mask, summary) + self.offset
        asked = self.text_norm(text)
        seen = self.read(asked, image)
        evidence = torch.cat([asked, seen, asked * seen], dim=-1)  # (batch, length, 3 text_dim)
        single = self.verdict(self.compare(evidence)).squeeze(-1)
        moved = single - masked_mean(single[..., None], text_mask)
        return torch.sigmoid(whole[:, None] + moved) * text_mask

    def agreement(
        self,
        text: Float[Tensor, "batch length text_dim"],
        text_mask: Bool[Tensor, "batch length"],
        summary: Float[Tensor, "batch summary_dim"],
    ) -> Float[Tensor, " batch"]:
        """Cosine of caption and image in the space where they agree most."""
        caption = masked_mean(text, text_mask)
        return cosine_similarity(self.agree_text(caption), self.agree_image(summary), dim=-1)


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
