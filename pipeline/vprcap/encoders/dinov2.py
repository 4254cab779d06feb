"""DINOv2 as a frozen image encoder (Oquab et al., 2024).

The tokens behind any block may be taken, because places are often told apart best in the middle
of the network; blocks above it are dropped, so that a shallow layer costs less. Every image is
resized to one size, so that a batch is one array and a token has one place in the picture.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor, nn
from transformers import Dinov2Model

from vprcap.encoders.adapters import (
    AdapterConfig,
    adapt_dinov2,
    load_adapters,
    read_adapter_config,
)
from vprcap.encoders.hub import load_model
from vprcap.errors import InvalidError
from vprcap.files import sha256_of

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Dinov2Encoder:
    """Tokens behind one block of a frozen DINOv2, with adapters in its blocks or without."""

    def __init__(
        self,
        model: Dinov2Model,
        name: str,
        revision: str,
        layer: int | None,
        image_size: tuple[int, int],
        device: str = "cpu",
        adapters: Path | None = None,
    ) -> None:
        """Keep the first ``layer`` blocks of the model, or all, and give them trained adapters."""
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
        self.model = model.requires_grad_(False).eval().to(device)
        self.num_tokens = 1 + (image_size[0] // patch) * (image_size[1] // patch)
        self._convolves = False
        self._grid = (image_size[0] // patch, image_size[1] // patch)
        if adapters is not None:
            self.adapt(read_adapter_config(adapters))
            load_adapters(self.model, adapters)
            self.model.requires_grad_(False)
            self.provenance += f" adapters {sha256_of(adapters)[:16]}"

    def adapt(self, config: AdapterConfig) -> None:
        """Put fresh adapters, which may be trained, into the blocks; tokens stay what they are."""
        adapt_dinov2(self.model, config, self._grid)
        self._convolves = config.kind == "multiconv"

    def encode(self, images: Sequence[Image.Image]) -> Float[np.ndarray, "batch tokens dim"]:
        """Encode images of any size and mode; each is resized to ``image_size``."""
        height, width = self.image_size
        resized = (
            image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
            for image in images
        )
        with torch.inference_mode():
            tokens = self.tokens(np.stack([np.asarray(image) for image in resized]))
        return tokens.float().cpu().numpy()

    def tokens(
        self,
        pixels: UInt8[np.ndarray, "batch height width 3"],
        shown: Int[np.ndarray, "batch shown"] | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """Encode pictures of ``image_size``; gradients reach the adapters.

        Args:
            pixels: red, green, blue.
            shown: which tokens of each picture go through the blocks, the class token, 0, first;
                None: all. Adapters that convolve need all, so that the rest is dropped at the end.
        """
        scaled = torch.from_numpy(pixels).to(self.model.device).float() / 255
        mean, std = (scaled.new_tensor(each) for each in (IMAGENET_MEAN, IMAGENET_STD))
        normalised = ((scaled - mean) / std).permute(0, 3, 1, 2).contiguous()
        if shown is None:
            tokens: Tensor = self.model(pixel_values=normalised).last_hidden_state
            return tokens
        index = torch.from_numpy(shown).to(scaled.device)[..., None]
        if self._convolves:
            return torch.take_along_dim(self.tokens(pixels), index, dim=1)
        embedded = torch.take_along_dim(self.model.embeddings(normalised), index, dim=1)
        states: Tensor = self.model.encoder(embedded).last_hidden_state
        last: Tensor = self.model.layernorm(states)
        return last


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
