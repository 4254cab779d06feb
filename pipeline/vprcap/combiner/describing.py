"""Descriptors of a whole set of stored features, block by block."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vprcap.combiner.combiner import FeatureCombiner

BLOCK = 64


def describe(
    combiner: FeatureCombiner,
    image_tokens: Shaped[np.ndarray, "images tokens image_dim"] | None,
    text_tokens: Shaped[np.ndarray, "images length text_dim"] | None = None,
    text_mask: Bool[np.ndarray, "images length"] | None = None,
) -> tuple[Float[np.ndarray, "images descriptor_dim"], Float[np.ndarray, " images"]]:
    """Describe images, captions, or images with their captions.

    Args:
        combiner: runs on the device where its weights are.
        image_tokens: of any float type, mapped or in memory; None to describe captions alone.
        text_tokens: of any float type; None to describe images alone.
        text_mask: true where a word piece is; an all-false row has no caption.

    Returns:
        Descriptors of unit length, and the mean gate of each caption (0 where there is none).
    """
    descriptors, gates = describe_with_gates(combiner, image_tokens, text_tokens, text_mask)
    return descriptors, mean_gates(gates, text_mask)


@torch.inference_mode()
def describe_with_gates(
    combiner: FeatureCombiner,
    image_tokens: Shaped[np.ndarray, "images tokens image_dim"] | None,
    text_tokens: Shaped[np.ndarray, "images length text_dim"] | None = None,
    text_mask: Bool[np.ndarray, "images length"] | None = None,
) -> tuple[Float[np.ndarray, "images descriptor_dim"], Float[np.ndarray, "images length"]]:
    """Describe as `describe` does; give the gate of each token, 0 for padding.

    Without text the gates have no columns.
    """
    combiner.eval()
    given = text_tokens if image_tokens is None else image_tokens
    num_images = 0 if given is None else len(given)
    descriptors = np.empty((num_images, combiner.config.descriptor_dim), dtype=np.float32)
    length = 0 if text_mask is None else text_mask.shape[1]
    gates = np.zeros((num_images, length), dtype=np.float32)
    for start in range(0, num_images, BLOCK):
        rows = slice(start, start + BLOCK)
        image, text, mask = (
            _on_device(combiner, array, rows) for array in (image_tokens, text_tokens, text_mask)
        )
        descriptor, gate = combiner(image, text, mask)
        descriptors[rows] = descriptor.cpu().numpy()
        gates[rows] = gate.float().cpu().numpy()
    return descriptors, gates


def mean_gates(
    gates: Float[np.ndarray, "images length"], text_mask: Bool[np.ndarray, "images length"] | None
) -> Float[np.ndarray, " images"]:
    """Reliability of each caption: the mean gate of its tokens, 0 where there is no caption."""
    if text_mask is None:
        return np.zeros(len(gates), dtype=np.float32)
    means: np.ndarray = gates.sum(axis=1) / np.maximum(text_mask.sum(axis=1), 1)
    return means.astype(np.float32)


def _on_device(
    combiner: FeatureCombiner, array: Shaped[np.ndarray, "..."] | None, rows: slice
) -> Tensor | None:
    if array is None:
        return None
    block = array[rows]
    block = block if block.dtype == bool else block.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(block)).to(combiner.no_text.device)
