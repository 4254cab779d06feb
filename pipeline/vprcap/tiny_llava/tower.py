"""First stage: the vision tower learns to name the attributes, alone.

A tower and a language model that start together from nothing stay at the language prior: the
caption's grammar is so cheap to learn that no gradient ever asks for the picture. So the tower is
taught first, by one small head for each attribute that pools the patches it cares for. The heads
are thrown away; what stays is patches that know what they show.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import AutoModel, CLIPVisionConfig, CLIPVisionModel

from vprcap.city.claims import ATTRIBUTES, claims_of
from vprcap.city.place import Place
from vprcap.tiny_llava.pictures import Pictures
from vprcap.tiny_llava.progress import Progress

STEPS = 2200
BATCH = 48
LEARNING_RATE = 1.5e-3
MAX_SHIFT = 4


class AttributeHeads(nn.Module):
    """One query for each attribute pools the patches; a linear layer names its value."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.queries = nn.Parameter(torch.randn(len(ATTRIBUTES), dim) / math.sqrt(dim))
        self.keys = nn.Linear(dim, dim)
        self.values = nn.Linear(dim, dim)
        self.names = nn.ModuleList(nn.Linear(dim, len(v) + 1) for v in ATTRIBUTES.values())

    def forward(self, patches: Float[Tensor, "batch patches dim"]) -> list[Tensor]:
        """Return logits (batch, values + 1) for each attribute; the first value is "absent"."""
        patches = self.norm(patches)
        scores = self.queries @ self.keys(patches).transpose(1, 2)  # (batch, attributes, patches)
        weights = (scores / math.sqrt(patches.shape[2])).softmax(dim=2)
        pooled = weights @ self.values(patches)  # (batch, attributes, dim)
        return [name(pooled[:, row]) for row, name in enumerate(self.names)]


def train_tower(config: CLIPVisionConfig, pictures: Pictures) -> CLIPVisionModel:
    """Return a tower that has learned from nothing to name the attributes of the pictures."""
    # Training runs in bfloat16, where the fused attention's backward pass is slow on a CPU.
    tower: CLIPVisionModel = AutoModel.from_config(config, attn_implementation="eager")
    heads = AttributeHeads(tower.config.hidden_size)
    labels = attribute_labels(pictures.places)
    parameters = [*tower.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS, pct_start=0.15)
    progress = Progress("tower", STEPS)
    for rows in batches(len(labels), BATCH, STEPS):
        with torch.autocast("cpu", torch.bfloat16):
            patches = tower(augmented(pictures.pixels[rows.numpy()])).last_hidden_state[:, 1:]
            logits = heads(patches)
        loss, accuracy = _loss_and_accuracy(logits, labels[rows])
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        progress.step(loss=loss.item(), accuracy=accuracy.item())
    return tower


def _loss_and_accuracy(
    logits: list[Tensor], labels: Int[Tensor, "batch attributes"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    pairs = list(zip(logits, labels.unbind(1), strict=True))
    losses = [cross_entropy(named.float(), true) for named, true in pairs]
    hits = [(named.argmax(1) == true).float().mean() for named, true in pairs]
    return torch.stack(losses).mean(), torch.stack(hits).mean()


def attribute_labels(places: list[Place]) -> Int[Tensor, "batch attributes"]:
    """Return the value of each attribute as a number, 0 where the place has none."""
    claims = [claims_of(place) for place in places]
    rows = [
        [values.index(each[name]) + 1 if name in each else 0 for name, values in ATTRIBUTES.items()]
        for each in claims
    ]
    return torch.tensor(rows)


def batches(num_rows: int, batch: int, steps: int) -> Iterator[Int[Tensor, " batch"]]:
    """Yield `steps` batches of rows, reshuffled each time all have been seen."""
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < batch:
            order = torch.randperm(num_rows)
        rows, order = order[:batch], order[batch:]
        yield rows


def augmented(
    pixels: UInt8[np.ndarray, "batch height width 3"],
) -> Float[Tensor, "batch 3 height width"]:
    """Return the pictures as the processor would, shifted, brightened and dimmed a little."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    down, right = torch.randint(-MAX_SHIFT, MAX_SHIFT + 1, (2,)).tolist()
    images = torch.roll(images, (down, right), dims=(2, 3))
    gain = torch.empty(len(images), 1, 1, 1).uniform_(0.85, 1.15)
    return normalised((images * gain).clamp(0, 1))


def normalised(
    images: Float[Tensor, "batch 3 height width"],
) -> Float[Tensor, "batch 3 height width"]:
    """Map 0..1 to -1..1, as the image processor does with a mean and deviation of one half."""
    return (images - 0.5) / 0.5
