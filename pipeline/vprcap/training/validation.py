"""Validation: every held-out image looks for the other images of its place.

It is not looked for among images of its own traversal, of which the next frame would be too easy
a find. The figures are those of the field: images alone, fused with their captions, and fused
where some of the captions are of other places. The last decides which state is kept: captions
that are all right would favour a combiner that believes anything.
"""

import numpy as np
from jaxtyping import Bool, Float

from vprcap.combiner import FeatureCombiner, describe
from vprcap.training.config import TrainConfig
from vprcap.training.data import Tokens, TrainingImages
from vprcap.training.drawing import Rows, other_places

CUTOFFS = (1, 5, 10)


def validate(
    combiner: FeatureCombiner,
    data: TrainingImages,
    rows: Rows,
    config: TrainConfig,
    tokens: Tokens | None = None,
) -> dict[str, float]:
    """Recall of held-out images, fused and alone, and the mean gate of their captions.

    Args:
        combiner: the state to judge.
        data: the set that the images are of.
        rows: which images of it they are.
        config: how far places reach, and how many captions are lent.
        tokens: of these images, where they have been read already.
    """
    image, text, mask = tokens or data.read(rows)
    fused, reliability = describe(combiner, image, text, mask)
    alone, _ = describe(combiner, image)
    lent = _some_lent(data.places[rows], config)
    doubted, _ = describe(combiner, image, text[lent], mask[lent])
    captioned = mask.any(axis=1)
    metrics = {"mean_gate": float(reliability[captioned].mean()) if captioned.any() else 0.0}
    metrics["text_scale"] = combiner.text_scale.item()
    positive, hidden = ground_truth(data, rows, config)
    for mode, descriptors in (("fused", fused), ("doubted", doubted), ("image", alone)):
        similarity = np.where(hidden, -np.inf, descriptors @ descriptors.T)
        recalls, precision = scores(similarity, positive)
        metrics |= {f"{mode}_r{k}": r for k, r in zip(CUTOFFS, recalls, strict=True)}
        metrics[f"{mode}_map"] = precision
    return metrics


def _some_lent(places: Rows, config: TrainConfig) -> Rows:
    """For each row the row whose caption it gets: its own, or for some one of another place."""
    rng = np.random.default_rng((config.seed, 2))
    lent = np.arange(len(places))
    some = np.flatnonzero(rng.random(len(places)) < config.wrong_captions)
    lent[some] = other_places(places, rng)[some]
    return lent


def ground_truth(
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


def scores(
    similarity: Float[np.ndarray, "rows rows"], positive: Bool[np.ndarray, "rows rows"]
) -> tuple[list[float], float]:
    """Recalls, and the mean average precision, over the rows that have a positive at all."""
    asking = positive.any(axis=1)
    if not asking.any():
        return [0.0] * len(CUTOFFS), 0.0
    order = np.argsort(-similarity[asking], axis=1, kind="stable")
    found = np.take_along_axis(positive[asking], order, axis=1)
    recalls = [float(found[:, :cutoff].any(axis=1).mean()) for cutoff in CUTOFFS]
    precision = found.cumsum(axis=1) / np.arange(1, found.shape[1] + 1)
    average = (precision * found).sum(axis=1) / found.sum(axis=1)
    return recalls, float(average.mean())
