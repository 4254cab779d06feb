"""Multi-head cross-attention between streams of different length and width.

``nn.MultiheadAttention`` insists that what it writes is as wide as its queries inside; here the
image keeps the encoder's width while the exchange happens in a narrow one, which is what makes it
cheap. The arithmetic is ``scaled_dot_product_attention``.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class CrossAttention(nn.Module):
    """What each query token reads from the key tokens, written in the width of the queries."""

    def __init__(self, query_dim: int, key_dim: int, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(query_dim, width)
        self.key = nn.Linear(key_dim, width)
        self.value = nn.Linear(key_dim, width)
        self.output = nn.Linear(width, query_dim)

    def forward(
        self,
        queries: Float[Tensor, "batch queries query_dim"],
        keys: Float[Tensor, "batch keys key_dim"],
        weights: Float[Tensor, "batch keys"] | None = None,
    ) -> Float[Tensor, "batch queries query_dim"]:
        """Attend to the keys; a key of weight 0 is not seen, one of half the weight half as much.

        Each row of the weights needs one that is not 0.
        """
        query, key, value = (
            tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (batch, heads, _, head)
            for tokens in (self.query(queries), self.key(keys), self.value(keys))
        )
        bias = None if weights is None else _log(weights)[:, None, None, :].to(query.dtype)
        read = scaled_dot_product_attention(query, key, value, attn_mask=bias)
        message: Tensor = self.output(read.transpose(1, 2).flatten(2))
        return message


def start_at_zero(layer: nn.Linear) -> nn.Linear:
    """Zero a layer, so that what it writes is learned from nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _log(weights: Float[Tensor, "batch keys"]) -> Float[Tensor, "batch keys"]:
    """Take the logarithm with log 0 = -inf, and no gradient there, where it would be NaN."""
    seen = weights > 0
    return torch.where(seen, weights, 1.0).log().masked_fill(~seen, -torch.inf)
