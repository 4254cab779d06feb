import numpy as np
import pytest
from PIL import Image

from vprcap.views import SMALLEST_CROP, STRETCH, View, _crop, show


def ramp() -> Image.Image:
    """Dark on the left and bright on the right, dark above and bright below in blue."""
    across = np.tile(np.linspace(60, 180, 96), (64, 1))
    down = np.tile(np.linspace(60, 180, 64)[:, None], (1, 96))
    return Image.fromarray(np.stack([across, across, down], axis=-1).astype(np.uint8))


def test_a_view_without_a_seed_is_the_resized_photograph() -> None:
    expected = np.asarray(ramp().resize((42, 28), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(show(ramp(), View(28, 42)), expected)


def test_a_view_follows_from_its_seed() -> None:
    first, again, other = (show(ramp(), View(28, 42, seed)) for seed in ((1, 2), (1, 2), (1, 3)))
    assert first.shape == (28, 42, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_no_view_is_mirrored_or_turned() -> None:
    for seed in range(50):
        view = show(ramp(), View(28, 42, (seed,))).astype(float)
        assert view[:, -8:, 0].mean() > view[:, :8, 0].mean()
        assert view[-8:, :, 2].mean() > view[:8, :, 2].mean()


@pytest.mark.parametrize("seed", range(20))
def test_a_crop_lies_in_the_picture_and_keeps_most_of_it(seed: int) -> None:
    left, top, right, bottom = _crop((400, 300), np.random.default_rng(seed))
    assert 0 <= left < right <= 400 and 0 <= top < bottom <= 300
    share = (right - left) * (bottom - top) / (400 * 300)
    assert share >= SMALLEST_CROP / STRETCH  # where an edge had to be cut at the picture's own
    assert 1 / STRETCH - 1e-6 <= ((right - left) / (bottom - top)) / (4 / 3) <= STRETCH + 1e-6
