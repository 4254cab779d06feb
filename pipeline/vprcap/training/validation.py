"""Validation: every held-out image looks for the other images of its place.

It is not looked for among images of its own traversal, of which the next frame would be too easy
a find. The figures are those of the field, fused and for images alone.
"""

import numpy as np
from jaxtyping import Bool, Float

from vprcap.combiner import FeatureCombiner, describe
from vprcap.recall import hits_at_k
from vprcap.training.config import TrainConfig
from vprcap.training.data import Rows, Tokens, TrainingImages

CUTOFFS = (1, 5, 10)


def validate(
    combiner: FeatureCombiner,
    tokens: Tokens,
    data: TrainingImages,
    rows: Rows,
    config: TrainConfig,
) -> dict[str, float]:
    """Recall of held-out images, fused and alone, and the mean gate of their captions.

    Args:
        combiner: the state to judge.
        tokens: of the held-out images, from the encoders in their present state.
        data: the set that they are of.
        rows: which images of it they are.
        config: how far places reach.
    """
    image, text, mask = tokens
    fused, reliability = describe(combiner, image, text, mask)
    alone, _ = describe(combiner, image)
    captioned = mask.any(axis=1)
    metrics = {"mean_gate": float(reliability[captioned].mean()) if captioned.any() else 0.0}
    metrics["text_scale"] = combiner.text_scale.item()
    positive, hidden = _ground_truth(data, rows, config)
    for mode, descriptors in (("fused", fused), ("image", alone)):
        for cutoff, recall in zip(CUTOFFS, _recall(descriptors, positive, hidden), strict=True):
            metrics[f"{mode}_r{cutoff}"] = float(recall)
    return metrics


def _ground_truth(
    data: TrainingImages, rows: Rows, config: TrainConfig
) -> tuple[Bool[np.ndarray, "rows rows"], Bool[np.ndarray, "rows rows"]]:
    """Which images show the place of a row, and which are hidden from it, itself included."""
    places = data.places[rows]
    positive = places[:, None] == places[None]
    hidden = np.eye(len(rows), dtype=bool)
    if data.traversals is not None:
        hidden |= data.traversals[rows][:, None] == data.traversals[rows][None]
    if data.positions is not None:
        metres = data.positions[rows]
        gaps = np.linalg.norm(metres[:, None] - metres[None], axis=-1)
        positive |= gaps < config.exclusion_m
    return positive & ~hidden, hidden


def _recall(
    descriptors: Float[np.ndarray, "rows descriptor_dim"],
    positive: Bool[np.ndarray, "rows rows"],
    hidden: Bool[np.ndarray, "rows rows"],
) -> Float[np.ndarray, " cutoffs"]:
    """Recall over the rows that have a positive at all."""
    similarity = np.where(hidden, -np.inf, descriptors @ descriptors.T)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : max(CUTOFFS)]
    asking = np.flatnonzero(positive.any(axis=1))
    wanted = [np.flatnonzero(positive[row]) for row in asking]
    recalls: np.ndarray = hits_at_k(nearest[asking], wanted, CUTOFFS).mean(axis=0)
    return recalls
