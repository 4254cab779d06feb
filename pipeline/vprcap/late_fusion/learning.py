"""Trains a fusion on its own score: miner, loss and selection all see the fused similarity.

Two hundred steps of AdamW: one scalar and a million weights need steps of like size, whatever
their gradients. The state that wins is the one with the best mean average precision of the fused
score on places held out of training, and the state before training stands for election too.
Batches, split and constants are those of the combiner's training.
"""

from collections.abc import Iterator
from copy import deepcopy
from itertools import count, islice

import numpy as np
import torch
from jaxtyping import Float, Int
from pytorch_metric_learning.distances import DotProductSimilarity
from pytorch_metric_learning.losses import MultiSimilarityLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from torch import Tensor

from vprcap.late_fusion.projection import Addition, Mlp
from vprcap.late_fusion.weighting import DynamicWeighting, FixedWeight
from vprcap.losses import ALPHA, BASE, BETA, EPSILON
from vprcap.training.config import TrainConfig
from vprcap.training.data import TrainingSet, split_places
from vprcap.training.drawing import Rows, draw_batches
from vprcap.training.validation import ground_truth, scores

STEPS, STEPS_PER_CHECK = 200, 25
MAX_CHECKED = 4000
"""Held-out images that a check ranks, at most."""

Learned = Addition | Mlp | DynamicWeighting | FixedWeight


def learn(fusion: Learned, data: TrainingSet, config: TrainConfig, learning_rate: float) -> None:
    """Train a fusion in place, and leave it in its best state; equal seeds give equal weights."""
    rows_of, held = split_places(data, config)
    check = _Check(data, held[np.argsort(data.places[held], kind="stable")][:MAX_CHECKED], config)
    optimizer = torch.optim.AdamW(fusion.parameters(), learning_rate)
    best, best_score = deepcopy(fusion.state_dict()), check(fusion)
    for step, rows in enumerate(islice(_batches(rows_of, config), STEPS), start=1):
        fusion.train()
        image, text = tensors(data, rows)
        positions = None if data.positions is None else torch.from_numpy(data.positions[rows])
        places = torch.from_numpy(data.places[rows])
        queries, database = fusion(image, text)
        vectors = above_strangers(queries, database, places)
        loss = score_loss(*vectors, places, positions, config.exclusion_m)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % STEPS_PER_CHECK == 0 and (score := check(fusion)) > best_score:
            best, best_score = deepcopy(fusion.state_dict()), score
    fusion.load_state_dict(best)
    fusion.eval()


def score_loss(
    queries: Float[Tensor, "batch dim"],
    database: Float[Tensor, "batch dim"],
    places: Int[Tensor, " batch"],
    positions: Float[Tensor, "batch 2"] | None = None,
    exclusion_m: float = 25.0,
) -> Float[Tensor, ""]:
    """`losses.place_loss` where an image asks with one vector and is found by another.

    Vectors are taken as they are: their length is part of the score. An image meets itself in the
    matrix of scores, but is not its own positive.
    """
    score = DotProductSimilarity(normalize_embeddings=False)
    # With one and the same tensor for both labels the library leaves the diagonal out of the
    # positives and, as the vectors differ, not out of the negatives: copy, and drop it here.
    of_database = places.clone()
    anchor, positive, other, negative = MultiSimilarityMiner(EPSILON, distance=score)(
        queries, places, database, of_database
    )
    others = anchor != positive
    anchor, positive = anchor[others], positive[others]
    if positions is not None:
        apart = (positions[other] - positions[negative]).norm(dim=-1) >= exclusion_m
        other, negative = other[apart], negative[apart]
    loss: Tensor = MultiSimilarityLoss(ALPHA, BETA, BASE, distance=score)(
        queries, places, (anchor, positive, other, negative), database, of_database
    )
    return loss


def above_strangers(
    queries: Float[Tensor, "batch dim"],
    database: Float[Tensor, "batch dim"],
    places: Int[Tensor, " batch"],
) -> tuple[Float[Tensor, "batch dim+1"], Float[Tensor, "batch dim+1"]]:
    """Lower every score by the mean over pairs of different places, by one number more per vector.

    The loss has its threshold at 0, but captions all resemble one another: with a raw sum the
    cheapest way to lower the scores of strangers is to ignore the text, right or wrong. No
    ranking depends on what all scores have in common, so the loss shall not either.
    """
    strangers = places[:, None] != places[None]
    level = (queries @ database.T)[strangers].mean()
    return (
        torch.cat([queries, torch.ones_like(queries[:, :1])], dim=1),
        torch.cat([database, -level.expand(len(database), 1)], dim=1),
    )


def tensors(data: TrainingSet, rows: Rows) -> tuple[Tensor, Tensor]:
    """Image and text descriptors of some images."""
    return (
        torch.from_numpy(data.image_tokens[rows, 0]),
        torch.from_numpy(data.text_tokens[rows, 0]),
    )


def _batches(rows_of: list[Rows], config: TrainConfig) -> Iterator[Rows]:
    """Epoch after epoch; an image that was drawn twice comes once: it is no match for itself."""
    for epoch in count(1):
        for rows in draw_batches(rows_of, config, epoch):
            yield np.unique(rows)


class _Check:
    """Mean average precision by the fused score, as the combiner is validated."""

    def __init__(self, data: TrainingSet, rows: Rows, config: TrainConfig) -> None:
        self.image, self.text = tensors(data, rows)
        self.positive, self.hidden = ground_truth(data, rows, config)

    @torch.no_grad()
    def __call__(self, fusion: Learned) -> float:
        """Every held-out image looks for the others of its place."""
        fusion.eval()
        queries, database = fusion(self.image, self.text)
        similarity = np.where(self.hidden, -np.inf, (queries @ database.T).numpy())
        return scores(similarity, self.positive)[1]
