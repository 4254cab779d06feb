"""A small combiner whose every parameter matters, and toy features with meaningful captions."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from vprcap.combiner import CombinerConfig, FeatureCombiner
from vprcap.combiner.config import FUSIONS, GATES, POOLINGS
from vprcap.training import TrainingSet

CONFIG = CombinerConfig(
    image_dim=12, text_dim=10, descriptor_dim=6, num_words=4, width=8, num_heads=2, num_layers=2
)
PARTS: list[dict[str, str]] = [
    {},
    *({"gate": gate} for gate in GATES[1:]),
    *({"fusion": fusion} for fusion in FUSIONS[1:]),
    *({"pooling": pooling} for pooling in POOLINGS[1:]),
]
"""The default combiner, then one other part at a time."""


@pytest.fixture(params=PARTS, ids=str)
def config(request: pytest.FixtureRequest) -> CombinerConfig:
    """A small combiner of each kind."""
    return replace(CONFIG, **request.param)


@pytest.fixture
def new_combiner(config: CombinerConfig) -> FeatureCombiner:
    """A combiner as the constructor leaves it."""
    torch.manual_seed(0)
    return FeatureCombiner(config).eval()


@pytest.fixture
def combiner(config: CombinerConfig) -> FeatureCombiner:
    """A combiner with random numbers where training starts from zero."""
    torch.manual_seed(0)
    combiner = FeatureCombiner(config).eval()
    with torch.no_grad():
        for parameter in combiner.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return combiner


@pytest.fixture
def make_inputs() -> Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Random image tokens, text tokens and masks of 1, 2, 3 ... true word pieces."""

    def make(batch: int = 3, length: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(1)
        image = torch.randn(batch, 8, CONFIG.image_dim, generator=generator)
        text = torch.randn(batch, length, CONFIG.text_dim, generator=generator)
        sizes = torch.arange(1, batch + 1).clamp(max=length)
        return image, text, torch.arange(length)[None] < sizes[:, None]

    return make


@pytest.fixture(scope="session")
def toy_set() -> TrainingSet:
    """Sixty places of four views; image and caption are noisy views of one code of the place."""
    rng = np.random.default_rng(0)
    places = np.repeat(np.arange(60), 4)
    codes = rng.standard_normal((60, 6))[places]
    to_image, to_text = rng.standard_normal((6, 12)), rng.standard_normal((6, 10))
    image = (codes @ to_image)[:, None] + rng.standard_normal((240, 9, 12))
    text = (codes @ to_text)[:, None] + rng.standard_normal((240, 5, 10))
    return TrainingSet(
        image.astype(np.float16), text.astype(np.float16), np.ones((240, 5), dtype=bool), places
    )
