"""A fitted fusion over numpy arrays."""

from collections.abc import Callable

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

    def queries(self, image: Tensor, text: Tensor) -> Tensor:
        """The image's descriptor, on either side."""
        return image

    database = queries


Fusion = Learned | WeightedSum | ImageAlone


class FittedFusion:
    """See `LateFusion`."""

    def __init__(self, name: str, fusion: Fusion, dims: tuple[int, int]) -> None:
        self.name = name
        self.dims = dims
        self.fusion = fusion.eval()

    def queries(self, pairs: Pair) -> Float32[np.ndarray, "images dim"]:
        """Vectors to ask with."""
        return self._in_blocks(self.fusion.queries, pairs)

    def database(self, pairs: Pair) -> Float32[np.ndarray, "images dim"]:
        """Vectors to be searched."""
        return self._in_blocks(self.fusion.database, pairs)

    @torch.inference_mode()
    def _in_blocks(
        self, side: Callable[[Tensor, Tensor], Tensor], pairs: Pair
    ) -> Float32[np.ndarray, "images dim"]:
        if pairs.dims != self.dims:
            raise InvalidError(
                "descriptors have {} (image) and {} (text) numbers, but {} was fitted on {} and {}"
                "; describe both sets with the same encoders".format(
                    *pairs.dims, self.name, *self.dims
                )
            )
        blocks = [
            side(
                torch.from_numpy(pairs.image[start : start + BLOCK]),
                torch.from_numpy(pairs.text[start : start + BLOCK]),
            ).numpy()
            for start in range(0, max(1, len(pairs.image)), BLOCK)
        ]
        return np.concatenate(blocks)
