"""Sampling that does not depend on the batch: each row has random numbers of its own.

The largest of logits divided by the temperature plus independent Gumbel noise is a sample of their
softmax, so greedy search over noisy logits *is* sampling. The noise of a token is a pure function
of the row's seed and the token's position, by a counter-based generator: batch size, order and
what ran before do not enter. Only bits are drawn from the generator, whose stream is fixed for all
versions of NumPy; the transformation is ours.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from transformers import LogitsProcessor


def gumbel_noise(seed: int, position: int, size: int) -> Float64[torch.Tensor, " size"]:
    """Draw the standard Gumbel noise of one row at one position of its caption."""
    bits = np.random.Philox(key=seed, counter=position << 192).random_raw(size)
    # 52 bits and a half: exact in a double, never 0 and never 1.
    uniform = torch.from_numpy(((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)
    return -torch.log(-torch.log1p(-uniform))


class GumbelNoise(LogitsProcessor):
    """Turns the greedy search of `generate` into sampling at a temperature."""

    def __init__(self, temperature: float, seeds: Sequence[int], num_prompt: int) -> None:
        self._temperature, self._seeds, self._num_prompt = temperature, seeds, num_prompt

    def __call__(
        self,
        input_ids: Int64[torch.Tensor, "rows length"],
        scores: Float[torch.Tensor, "rows vocabulary"],
    ) -> Float64[torch.Tensor, "rows vocabulary"]:
        """Give noisy logits, in double precision."""
        position, size = input_ids.shape[1] - self._num_prompt, scores.shape[1]
        noise = torch.stack([gumbel_noise(seed, position, size) for seed in self._seeds])
        return scores.double() / self._temperature + noise.to(scores.device)
