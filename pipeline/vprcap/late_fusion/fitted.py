"""A fitted fusion over numpy arrays."""

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from vprcap.errors import InvalidError
from vprcap.late_fusion.learning import Learned
from vprcap.late_fusion.pair import Pair
from vprcap.late_fusion.weighting import WeightedSum

BLOCK = 4096


class ImageAlone(nn.Module):
    """v.v': what text re-ranking takes its shortlist from."""

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """The image's descriptor, on either side."""
        return image, image


Fusion = Learned | WeightedSum | ImageAlone


class FittedFusion:
    """See `LateFusion`."""

    def __init__(self, name: str, fusion: Fusion, dims: tuple[int, int]) -> None:
        self.name = name
        self.dims = dims
        self.fusion = fusion.eval()

    def queries(self, pairs: Pair) -> Float32[np.ndarray, "images dim"]:
        """Vectors to ask with."""
        return self._describe(pairs, 0)

    def database(self, pairs: Pair) -> Float32[np.ndarray, "images dim"]:
        """Vectors to be searched."""
        return self._describe(pairs, 1)

    @torch.inference_mode()
    def _describe(self, pairs: Pair, side: int) -> Float32[np.ndarray, "images dim"]:
        if pairs.dims != self.dims:
            (image_dim, text_dim), fitted = pairs.dims, self.dims
            raise InvalidError(
                f"descriptors have {image_dim} (image) and {text_dim} (text) numbers, but "
                f"{self.name} was fitted on {fitted[0]} and {fitted[1]}; "
                "describe both sets with the same encoders"
            )
        blocks = []
        for start in range(0, max(1, len(pairs.image)), BLOCK):
            image, text = pairs.image[start : start + BLOCK], pairs.text[start : start + BLOCK]
            vectors = self.fusion(torch.from_numpy(image), torch.from_numpy(text))[side]
            blocks.append(vectors.numpy())
        return np.concatenate(blocks)
