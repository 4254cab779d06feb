"""Describe: features and a combiner -> descriptors, image-only, text-only or fused."""

from pathlib import Path

import numpy as np

from vprcap.combiner import FeatureCombiner
from vprcap.combiner.describing import describe as describe_tokens
from vprcap.descriptors import Descriptors, write_descriptors
from vprcap.errors import InvalidError
from vprcap.features import Features, read_features


def describe(
    combiner: Path,
    image_features: Path,
    text_features: Path,
    output: Path,
    *,
    mode: str,
    shuffle_captions: bool = False,
) -> Path:
    """Describe every image of a manifest with one combiner.

    Args:
        combiner: folder of a trained combiner.
        image_features: feature set of the images.
        text_features: feature set of their captions.
        output: safetensors file to write.
        mode: ``image``, ``text`` or ``fused``; all three use the same weights.
        shuffle_captions: give each image the caption of another one: the control that shows
            what wrong text does.

    Raises:
        InvalidError: the features are of two manifests, or do not fit the combiner.
    """
    model = FeatureCombiner.load(combiner)
    images, texts = read_features(image_features), read_features(text_features)
    if len(images.tokens) != len(texts.tokens):
        raise InvalidError(
            f"{image_features.name} has {len(images.tokens)} images, {text_features.name} "
            f"{len(texts.tokens)}; extract both from one manifest"
        )
    texts = _shuffled(texts) if shuffle_captions else texts
    match mode:
        case "image":
            vectors, _ = describe_tokens(model, images.tokens)
        case "text":
            vectors, _ = describe_tokens(model, None, texts.tokens, texts.mask)
        case "fused":
            vectors, _ = describe_tokens(model, images.tokens, texts.tokens, texts.mask)
        case _:
            raise InvalidError(f"mode {mode!r} is unknown; choose image, text or fused")
    present = texts.present if mode == "text" else images.present
    return write_descriptors(Descriptors(vectors, present), output)


def _shuffled(texts: Features) -> Features:
    """Give every image the caption of another one, in a fixed random order."""
    shuffled = np.random.default_rng(0).permutation(len(texts.tokens))
    order = np.empty_like(shuffled)
    order[shuffled] = np.roll(shuffled, 1)
    return Features(texts.tokens[order], texts.mask[order])
