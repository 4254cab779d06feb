"""Query: a picture, words, or both -> one descriptor, by the weights that described a database."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32
from PIL import Image

from vprcap.combiner import FeatureCombiner, describe
from vprcap.encoders import ImageEncoder, TextEncoder
from vprcap.errors import InvalidError
from vprcap.images import MAX_MEGAPIXELS, decode_image


def describe_query(
    combiner: Path,
    *,
    image: tuple[ImageEncoder, Path] | None = None,
    text: tuple[TextEncoder, str] | None = None,
) -> Float32[np.ndarray, "1 dim"]:
    """Describe a query by its picture, by its words, or by both.

    Tokens are rounded to half precision as stored features are: a picture of the database gets the
    very descriptor that it has there.

    Args:
        combiner: folder of the trained combiner.
        image: encoder and file of the picture.
        text: encoder and the words.

    Raises:
        InvalidError: neither is given, the picture cannot be decoded, the text is blank, or an
            encoder does not fit the combiner.
    """
    image_tokens = None if image is None else _image_tokens(*image)
    text_tokens, mask = (None, None) if text is None else _text_tokens(*text)
    vectors, _ = describe(FeatureCombiner.load(combiner), image_tokens, text_tokens, mask)
    return vectors


def _image_tokens(encoder: ImageEncoder, path: Path) -> np.ndarray:
    decoded = decode_image(path, None, MAX_MEGAPIXELS)
    if decoded.pixels is None:
        raise InvalidError(f"{path}: {decoded.status}: {decoded.error}")
    return encoder.encode([Image.fromarray(decoded.pixels)]).astype(np.float16)


def _text_tokens(encoder: TextEncoder, text: str) -> tuple[np.ndarray, np.ndarray]:
    tokens, mask = encoder.encode([text])
    if not mask.any():
        raise InvalidError("the text is blank; describe the place in a few words")
    return tokens.astype(np.float16), mask
