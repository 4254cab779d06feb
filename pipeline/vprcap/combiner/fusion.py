"""CA-MMF: image and text tokens exchange messages by cross-attention.

The abstract of arXiv 2407.06730 names an efficient cross-attention module that propagates
information between the modalities. Our choices: both directions at once, pre-norm, in a narrow
width, each stream keeping its encoder's width and every message starting at zero, so that training
starts from the two encoders as they are. The image reads the text by belief (a token of half the
belief gets half the attention), and what it reads is scaled by the reliability of the caption: a
caption that AT-REC does not believe leaves the image as it was. There is no
feed-forward: both streams come from deep encoders, and without a caption the image's tokens are
exactly the encoder's.
"""

from jaxtyping import Float
from torch import Tensor, nn

from vprcap.combiner.attention import CrossAttention, start_at_zero


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
            reliability = 1 - belief[:, :1, None]  # all but the share of NO_TEXT
            image = image + reliability * self.to_image(image_seen, text_heard, belief)
            text = text + self.to_text(text_heard, image_seen)
        return image, text
