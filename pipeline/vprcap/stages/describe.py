"""Describe: features and a combiner -> descriptors, image-only, text-only or fused."""

from pathlib import Path

from vprcap.combiner import FeatureCombiner
from vprcap.combiner.describing import describe as describe_tokens
from vprcap.combiner.describing import describe_with_gates
from vprcap.descriptors import Descriptors, write_descriptors
from vprcap.errors import InvalidError
from vprcap.features import read_features


def describe(
    combiner: Path,
    image_features: Path,
    text_features: Path,
    output: Path,
    *,
    mode: str,
) -> Path:
    """Describe every image of a manifest with one combiner.

    Args:
        combiner: folder of a trained combiner.
        image_features: feature set of the images.
        text_features: feature set of their captions.
        output: safetensors file to write.
        mode: ``image``, ``text`` or ``fused``; all three use the same weights.

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
    gates = None
    match mode:
        case "image":
            vectors, _ = describe_tokens(model, images.tokens)
        case "text":
            vectors, _ = describe_tokens(model, None, texts.tokens, texts.mask)
        case "fused":
            vectors, gates = describe_with_gates(model, images.tokens, texts.tokens, texts.mask)
        case _:
            raise InvalidError(f"mode {mode!r} is unknown; choose image, text or fused")
    present = texts.present if mode == "text" else images.present
    return write_descriptors(Descriptors(vectors, present, gates), output)
