"""What fixes the shapes of a combiner; stored beside its weights as ``config.json``."""

from dataclasses import dataclass, fields
from pathlib import Path

from vprcap.errors import InvalidError
from vprcap.files import read_json


@dataclass(frozen=True)
class CombinerConfig:
    """Sizes of a `FeatureCombiner`.

    Raises:
        InvalidError: a size is not positive, or the width does not divide into heads.
    """

    image_dim: int
    """Length of an image token, as the image encoder gives it."""
    text_dim: int
    """Length of a text token, as the text encoder gives it."""
    descriptor_dim: int = 512
    """Length of the descriptor."""
    num_words: int = 32
    """Visual words that image tokens are pooled over."""
    width: int = 128
    """Length of a token of either modality inside AT-REC and CA-MMF."""
    num_heads: int = 4
    """Attention heads."""
    num_layers: int = 1
    """CA-MMF layers."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise InvalidError(f"{field.name} is {getattr(self, field.name)}; it starts at 1")
        if self.width % self.num_heads:
            raise InvalidError(f"width {self.width} does not divide into {self.num_heads} heads")


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
