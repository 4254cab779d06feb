"""DINOv2 as a frozen image encoder (Oquab et al., 2024).

The tokens behind any block may be taken, because places are often told apart best in the middle
of the network; blocks above it are dropped, so that a shallow layer costs less. Every image is
resized to one size, so that a batch is one array and a token has one place in the picture.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import nn
from transformers import Dinov2Model

from vprcap.encoders.hub import load_model
from vprcap.errors import InvalidError

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class Dinov2Encoder:
    """Tokens behind one block of a frozen DINOv2."""

    def __init__(
        self,
        model: Dinov2Model,
        name: str,
        revision: str,
        layer: int | None,
        image_size: tuple[int, int],
        device: str = "cpu",
    ) -> None:
        """Keep the first ``layer`` blocks of the model, or all of them."""
        patch = model.embeddings.patch_embeddings.projection.kernel_size[0]
        if any(side < patch or side % patch for side in image_size):
            raise InvalidError(
                f"image size {image_size[0]}x{image_size[1]} is no multiple of the patch size "
                f"{patch} of {name}"
            )
        layer = _truncate(model, layer, name)
        self.name = f"{name}@{layer}"
        self.dim: int = model.config.hidden_size
        self.image_size = image_size
        self.provenance = f"{self.name} {image_size[0]}x{image_size[1]} {revision}"
        self._model = model.requires_grad_(False).to(device)  # type: ignore[arg-type]
        self._device = device

    def encode(self, images: Sequence[Image.Image]) -> Float[np.ndarray, "batch tokens dim"]:
        """Encode images of any size and mode; each is resized to ``image_size``."""
        pixels = np.stack([self._pixels(image) for image in images])
        with torch.inference_mode():
            batch = torch.from_numpy(pixels).to(self._device)
            tokens: torch.Tensor = self._model(pixel_values=batch).last_hidden_state
        return tokens.float().cpu().numpy()

    def _pixels(self, image: Image.Image) -> Float[np.ndarray, "3 height width"]:
        height, width = self.image_size
        resized = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
        scaled = np.asarray(resized, dtype=np.float32) / 255
        normalised = (scaled - IMAGENET_MEAN) / IMAGENET_STD
        return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def load_dinov2(name: str) -> tuple[Dinov2Model, str]:
    """Load a DINOv2 and its revision from the hub or a directory."""
    model, revision = load_model(name, packaged="packaged:dinov2-s-saliency")
    if not isinstance(model, Dinov2Model):
        raise InvalidError(f"{name} is no DINOv2 but a {type(model).__name__}")
    return model, revision


def _truncate(model: Dinov2Model, layer: int | None, name: str) -> int:
    """Drop the blocks above the layer; the final norm belongs to the last block alone."""
    blocks = model.encoder.layer
    if layer is None or layer == len(blocks):
        return len(blocks)
    if layer > len(blocks):
        raise InvalidError(f"{name} has {len(blocks)} layers; there is no layer {layer}")
    model.encoder.layer = blocks[:layer]
    model.register_module("layernorm", nn.Identity())
    return layer
