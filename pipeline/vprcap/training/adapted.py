"""The encoders with adapters, as one part of the model that end-to-end training moves."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vprcap.encoders.adapters import AdapterConfig, adapter_weights, save_adapters
from vprcap.encoders.bert import BertEncoder
from vprcap.encoders.dinov2 import Dinov2Encoder

IMAGE_ADAPTERS, TEXT_ADAPTERS = "image_adapters.safetensors", "text_adapters.safetensors"


class AdaptedEncoders(nn.Module):
    """An image encoder and a text encoder with fresh adapters."""

    def __init__(
        self,
        image: Dinov2Encoder,
        text: BertEncoder,
        image_adapters: AdapterConfig,
        text_adapters: AdapterConfig | None,
    ) -> None:
        """Put adapters into the encoders; None leaves the text's as it is."""
        super().__init__()
        self.image, self.text = image, text
        self._configs = (image_adapters, text_adapters)
        image.adapt(image_adapters)
        if text_adapters is not None:
            text.adapt(text_adapters)
        self.image_model, self.text_model = image.model, text.model

    def encode(
        self, pixels: np.ndarray, captions: list[str | None], shown: np.ndarray | None
    ) -> tuple[
        Float[Tensor, "batch tokens image_dim"],
        Float[Tensor, "batch length text_dim"],
        Bool[Tensor, "batch length"],
    ]:
        """Give image tokens, text tokens and their mask; gradients reach the adapters."""
        image = self.image.tokens(pixels, shown)
        if any(captions):
            return image, *self.text.tokens(captions)
        nothing = image.new_zeros(len(image), 1, self.text.dim)
        return image, nothing, nothing[..., 0].bool()

    def weights(self) -> dict[str, nn.Parameter]:
        """Give the parameters of all adapters, by name."""
        return adapter_weights(self)

    def save(self, folder: Path) -> None:
        """Write a file of adapters for each encoder that has some."""
        models = (self.image_model, self.text_model)
        names = (IMAGE_ADAPTERS, TEXT_ADAPTERS)
        for model, config, name in zip(models, self._configs, names, strict=True):
            if config is not None:
                save_adapters(model, config, folder / name)

    def count_frozen(self) -> dict[str, int]:
        """Count the parameters of each encoder that are not trained."""
        models = {"image encoder": self.image_model, "text encoder": self.text_model}
        return {
            name: sum(each.numel() for each in model.parameters() if not each.requires_grad)
            for name, model in models.items()
        }
