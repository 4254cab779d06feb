"""Frozen models that turn an image or a caption into tokens.

An encoder is anything with one ``encode`` method and the few attributes below; the two protocols
are the whole interface. A name says which weights are meant, and never resolves to others: a
hub name needs the hub (or its cache), and the packaged weights have names of their own. Nothing
heavy is imported before a name has been asked for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from vprcap.errors import InvalidError
from vprcap.words import Words

if TYPE_CHECKING:
    from vprcap.encoders.bert import BertEncoder
    from vprcap.encoders.dinov2 import Dinov2Encoder

IMAGE_SIZE = (224, 294)
"""Height and width in pixels of what an image encoder sees: 16 x 21 patches, nearly 4:3."""


@runtime_checkable
class ImageEncoder(Protocol):
    """Image to tokens: the class token first, then the patches row by row."""

    name: str
    dim: int
    image_size: tuple[int, int]
    provenance: str
    """Weights, layer and image size in one line: equal lines give equal features."""

    def encode(self, images: Sequence[Image.Image]) -> Float[np.ndarray, "batch tokens dim"]:
        """Encode images of any size and mode; each is resized to ``image_size``."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Caption to one token per word piece."""

    name: str
    dim: int
    provenance: str
    """Weights and longest length in one line: equal lines give equal features."""
    max_length: int
    """Most tokens that a caption becomes; what is longer is cut."""

    def encode(
        self, captions: Sequence[str | None]
    ) -> tuple[Float[np.ndarray, "batch length dim"], Bool[np.ndarray, "batch length"]]:
        """Encode captions, padded to the longest; a missing or blank one has an all-false mask."""
        ...

    def words(self, captions: Sequence[str | None]) -> list[Words]:
        """Say for each caption which words it has and which token is a piece of which."""
        ...


def load_image_encoder(
    name: str,
    image_size: tuple[int, int] = IMAGE_SIZE,
    device: str = "cpu",
    adapters: Path | None = None,
) -> "Dinov2Encoder":
    """Load a frozen image encoder.

    Args:
        name: ``packaged:dinov2-s-saliency``, a DINOv2 on the hub such as ``facebook/dinov2-base``,
            or a directory; ``@8`` after it takes the tokens behind block 8.
        image_size: height and width in pixels, each a multiple of the patch size (14).
        device: where it runs, as torch spells it.
        adapters: trained adapters of this very encoder, as `vprcap train` writes them.

    Raises:
        DependencyError: the extra is not installed, or the hub cannot be reached.
        InvalidError: the name, the layer, the size, the weights or the adapters cannot be used.
    """
    from vprcap.encoders.dinov2 import Dinov2Encoder, load_dinov2
    from vprcap.quiet import quiet_libraries

    quiet_libraries()

    weights, layer = split_layer(name)
    match weights:
        case "packaged:dinov2-s-saliency":
            from vprcap.encoders.packaged import SALIENCY_LAYER, load_dinov2_saliency

            model, revision = load_dinov2_saliency()
            layer = layer or SALIENCY_LAYER
        case _ if weights.startswith("packaged:"):
            raise InvalidError(
                f"no packaged image encoder {weights!r}; there is: packaged:dinov2-s-saliency"
            )
        case _:
            model, revision = load_dinov2(weights)
    return Dinov2Encoder(model, weights, revision, layer, image_size, device, adapters)


def load_text_encoder(
    name: str, device: str = "cpu", adapters: Path | None = None
) -> "BertEncoder":
    """Load a frozen text encoder.

    Args:
        name: ``packaged:minilm-l6``, a BERT-like model on the hub such as
            ``sentence-transformers/all-MiniLM-L6-v2``, or a directory.
        device: where it runs, as torch spells it.
        adapters: trained adapters of this very encoder, as `vprcap train` writes them.

    Raises:
        DependencyError: the extra is not installed, or the hub cannot be reached.
        InvalidError: the name, the weights or the adapters cannot be used.
    """
    from vprcap.encoders.bert import BertEncoder, load_bert
    from vprcap.quiet import quiet_libraries

    quiet_libraries()

    match name:
        case "packaged:minilm-l6":
            from vprcap.encoders.packaged import load_minilm

            model, tokenizer, revision = load_minilm()
        case _ if name.startswith("packaged:"):
            raise InvalidError(f"no packaged text encoder {name!r}; there is: packaged:minilm-l6")
        case _:
            model, tokenizer, revision = load_bert(name)
    return BertEncoder(model, tokenizer, name, revision, device, adapters)


def split_layer(name: str) -> tuple[str, int | None]:
    """Split ``facebook/dinov2-base@8`` into its weights and its layer, None where none is named."""
    weights, at, layer = name.rpartition("@")
    if not at or Path(name).is_dir():
        return name, None
    if not layer.isdecimal() or int(layer) == 0:
        raise InvalidError(f"no layer {layer!r} in {name!r}; write a number from 1, as in @8")
    return weights, int(layer)


def parse_size(text: str) -> tuple[int, int]:
    """Read ``224x294`` as height and width."""
    height, times, width = text.partition("x")
    if not (times and height.isdecimal() and width.isdecimal()):
        raise InvalidError(f"no image size {text!r}; write height x width, as in 224x294")
    return int(height), int(width)
