"""What many tests need: small image folders, and places of optional data."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

LONDON = Path(__file__).parents[2] / "shared" / "data"


TIMED = ("bench", "gpu")


def pytest_configure(config: pytest.Config) -> None:
    """Time the code as it ships: checks of types at run time alone cost captioning a sixth."""
    if config.option.markexpr in TIMED:
        jaxtyping.config.update("jaxtyping_disable", True)


@pytest.fixture(autouse=True)
def draw_the_same_numbers_in_any_order() -> None:
    """Seed torch, where a test has it: whole folders do without, and start at once."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def make_images(tmp_path: Path) -> Callable[..., Path]:
    """Write small JPEGs of distinct noise and return their folder."""

    def make(names: list[str], folder: str = "images", size: tuple[int, int] = (48, 32)) -> Path:
        root = tmp_path / folder
        for seed, name in enumerate(names):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
            Image.fromarray(noise).save(path)
        return root

    return make


@pytest.fixture
def london() -> Path:
    """Folder of the real London photographs; skips where they are absent."""
    if not LONDON.is_dir():
        pytest.skip("the London photographs are not on this machine")
    return LONDON
