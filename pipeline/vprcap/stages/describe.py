"""Describe: features and a combiner -> descriptors, image-only, text-only or fused."""

from pathlib import Path

from vprcap.combiner import FeatureCombiner
from vprcap.combiner.describing import describe as describe_tokens
from vprcap.combiner.describing import describe_with_gates
from vprcap.errors import InvalidError
from vprcap.retrieval.descriptors import Descriptors, check_mode, write_descriptors
from vprcap.retrieval.features import read_features


def describe(
    combiner: Path,
    image_features: Path,
    text_features: Path | None,
    output: Path,
    *,
    mode: str,
) -> Path:
    """Describe every image of a manifest with one combiner.

    Args:
        combiner: folder of a trained combiner.
        image_features: feature set of the images.
        text_features: feature set of their captions; None for ``image`` alone.
        output: safetensors file to write.
        mode: ``image``, ``text`` or ``fused``; all three use the same weights.

    Raises:
        InvalidError: the features are of two manifests, or do not fit the combiner.
    """
    check_mode(mode)
    model = FeatureCombiner.load(combiner)
    images = read_features(image_features)
    if mode == "image":
        vectors, _ = describe_tokens(model, images.tokens)
        return write_descriptors(Descriptors(vectors, images.present), output)
    if text_features is None:
        raise InvalidError(f"mode {mode} needs captions, and there are none; choose image")
    texts = read_features(text_features)
    if len(images.tokens) != len(texts.tokens):
        raise InvalidError(
            f"{image_features.name} has {len(images.tokens)} images, {text_features.name} "
            f"{len(texts.tokens)}; extract both from one manifest"
        )
    if mode == "text":
        vectors, _ = describe_tokens(model, None, texts.tokens, texts.mask)
        return write_descriptors(Descriptors(vectors, texts.present), output)
    vectors, gates = describe_with_gates(model, images.tokens, texts.tokens, texts.mask)
    return write_descriptors(Descriptors(vectors, images.present, gates), output)
