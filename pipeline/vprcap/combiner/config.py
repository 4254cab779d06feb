"""What fixes the shapes of a combiner; stored beside its weights as ``config.json``."""

from dataclasses import dataclass, fields
from pathlib import Path

from vprcap.errors import InvalidError
from vprcap.files import read_json

GATES = ("token-wise", "max-cosine", "global", "none")
FUSIONS = ("cross-attention", "efficient", "none")
POOLINGS = ("words", "gem", "class")
PREFIX_DIMS = (128, 256, 512, 1024, 2048)
"""Lengths at which the beginning of a descriptor is trained to be a descriptor."""


@dataclass(frozen=True)
class CombinerConfig:
    """Sizes and parts of a `FeatureCombiner`.

    Raises:
        InvalidError: a size is not positive, the width does not divide into heads, or a part has
            a name that is not there.
    """

    image_dim: int
    """Length of an image token, as the image encoder gives it."""
    text_dim: int
    """Length of a text token, as the text encoder gives it."""
    descriptor_dim: int = 512
    """Length of the descriptor."""
    gate: str = "token-wise"
    """AT-REC: which evidence decides how far a caption is believed, see `recalibration`."""
    fusion: str = "cross-attention"
    """CA-MMF: how the streams exchange messages, see `fusion`."""
    pooling: str = "words"
    """How image tokens become one vector, see `pooling`."""
    num_words: int = 32
    """Visual words that image tokens are pooled over."""
    width: int = 128
    """Length of a token of either modality inside AT-REC and CA-MMF."""
    num_heads: int = 4
    """Attention heads."""
    num_layers: int = 1
    """CA-MMF layers."""

    def __post_init__(self) -> None:
        sizes = [field.name for field in fields(self) if field.type is int]
        for name in sizes:
            if getattr(self, name) < 1:
                raise InvalidError(f"{name} is {getattr(self, name)}; it starts at 1")
        for name, choices in (("gate", GATES), ("fusion", FUSIONS), ("pooling", POOLINGS)):
            if getattr(self, name) not in choices:
                raise InvalidError(
                    f"{name} {getattr(self, name)!r} is unknown; choose {', '.join(choices)}"
                )
        if self.width % self.num_heads:
            raise InvalidError(f"width {self.width} does not divide into {self.num_heads} heads")

    @property
    def prefix_dims(self) -> tuple[int, ...]:
        """Lengths at which a descriptor may be cut, its whole length last."""
        shorter = (dim for dim in PREFIX_DIMS if dim < self.descriptor_dim)
        return (*shorter, self.descriptor_dim)


def read_config(path: Path) -> CombinerConfig:
    """Read a stored configuration; a field too many or too few is refused.

    Raises:
        MissingError: there is no such file.
        InvalidError: it is not the configuration of a combiner.
    """
    stored = read_json(path)
    try:
        return CombinerConfig(**stored)
    except TypeError as problem:
        raise InvalidError(f"{path} is no configuration of this combiner ({problem})") from None
