"""CA-MMF: image and text tokens exchange messages by cross-attention.

The abstract of arXiv 2407.06730 names an efficient cross-attention module that propagates
information between the modalities. Our choices: both directions at once, pre-norm, in a narrow
width, each stream keeping its encoder's width and every message starting at zero, so that training
starts from the two encoders as they are. The image reads the text by belief (a token of half the
belief gets half the attention), and what it reads is scaled by the reliability of the caption: a
caption that AT-REC does not believe leaves the image as it was. There is no
feed-forward: both streams come from deep encoders, and without a caption the image's tokens are
exactly the encoder's.

``cross-attention`` lets every token of one stream read every token of the other (N x L scores a
head). ``efficient`` puts a few learned fusion tokens between them, which read both streams and are
read by both (m x (N + L) scores; the bottleneck of Nagrani et al. 2021). ``none`` leaves the
streams apart: the text then only adds its compressed mean to the descriptor.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vprcap.combiner.attention import CrossAttention, start_at_zero
from vprcap.combiner.config import CombinerConfig

FUSION_TOKENS = 8
"""Fusion tokens of an efficient layer."""


def build_fusion(config: CombinerConfig) -> nn.ModuleList:
    """Build the layers that a configuration names, first to last; none for ``none``."""
    if config.fusion == "none":
        return nn.ModuleList()
    kind = EfficientFusionLayer if config.fusion == "efficient" else FusionLayer
    sizes = (config.image_dim, config.text_dim, config.width, config.num_heads)
    return nn.ModuleList(kind(*sizes) for _ in range(config.num_layers))


class FusionLayer(nn.Module):
    """One exchange of messages."""

    def __init__(self, image_dim: int, text_dim: int, width: int, num_heads: int) -> None:
        super().__init__()
        self.image_norm = nn.LayerNorm(image_dim)
        self.text_norm = nn.LayerNorm(text_dim)
        self.to_image = CrossAttention(image_dim, text_dim, width, num_heads)
        self.to_text = CrossAttention(text_dim, image_dim, width, num_heads)
        start_at_zero(self.to_image.output)
        start_at_zero(self.to_text.output)

    def forward(
        self,
        image: Float[Tensor, "batch tokens image_dim"],
        text: Float[Tensor, "batch words text_dim"],
        belief: Float[Tensor, "batch words"],
    ) -> tuple[Float[Tensor, "batch tokens image_dim"], Float[Tensor, "batch words text_dim"]]:
        """Give both streams after the exchange.

        Args:
            image: image tokens; none where captions are described alone.
            text: NO_TEXT, then the caption's tokens.
            belief: share of each text token; 0 for padding, and every row sums to 1.
        """
        if image.shape[1]:
            image_seen, text_heard = self.image_norm(image), self.text_norm(text)
            image = image + reliability(belief) * self.to_image(image_seen, text_heard, belief)
            text = text + self.to_text(text_heard, image_seen)
        return image, text


class EfficientFusionLayer(nn.Module):
    """One exchange of messages by way of a few fusion tokens."""

    def __init__(self, image_dim: int, text_dim: int, width: int, num_heads: int) -> None:
        super().__init__()
        self.image_norm = nn.LayerNorm(image_dim)
        self.text_norm = nn.LayerNorm(text_dim)
        self.tokens = nn.Parameter(torch.randn(FUSION_TOKENS, width) / width**0.5)
        self.from_image = CrossAttention(width, image_dim, width, num_heads)
        self.from_text = CrossAttention(width, text_dim, width, num_heads)
        self.to_image = CrossAttention(image_dim, width, width, num_heads)
        self.to_text = CrossAttention(text_dim, width, width, num_heads)
        start_at_zero(self.to_image.output)
        start_at_zero(self.to_text.output)

    def forward(
        self,
        image: Float[Tensor, "batch tokens image_dim"],
        text: Float[Tensor, "batch words text_dim"],
        belief: Float[Tensor, "batch words"],
    ) -> tuple[Float[Tensor, "batch tokens image_dim"], Float[Tensor, "batch words text_dim"]]:
        """Give both streams after the exchange; arguments as of `FusionLayer`."""
        if image.shape[1]:
            image_seen, text_heard = self.image_norm(image), self.text_norm(text)
            middle = self.tokens.expand(len(image), -1, -1)
            middle = middle + self.from_image(middle, image_seen)
            middle = middle + self.from_text(middle, text_heard, belief)
            image = image + reliability(belief) * self.to_image(image_seen, middle)
            text = text + self.to_text(text_heard, middle)
        return image, text


def reliability(belief: Float[Tensor, "batch words"]) -> Float[Tensor, "batch 1 1"]:
    """How far a caption as a whole is believed: all but the share of NO_TEXT, which is first."""
    return 1 - belief[:, :1, None]
