"""Near-identical pictures, on patterns whose copies and strangers are known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from vprcap.ground_truth import twins
from vprcap.ground_truth.twins import SIDE, TWIN_SIMILARITY, Photographs, find_copies, signatures
from vprcap.images import Framing, decode_image


def picture(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Blobs of light and dark, as a street has, unlike those of any other seed."""
    blobs = np.random.default_rng(seed).integers(0, 255, (9, 12, 3)).astype(np.uint8)
    return Image.fromarray(blobs).resize(size, Image.Resampling.BICUBIC)


def thumbnail(image: Image.Image, folder: Path, quality: int = 92) -> np.ndarray:
    path = folder / "picture.jpg"
    image.save(path, quality=quality)
    pixels = decode_image(path, Framing("thumbnail", SIDE), 50).pixels
    assert pixels is not None
    return pixels[..., 0].ravel()


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    first, second = signatures(np.stack([one, other]))
    return float(first @ second)


def gradients(thumbnail: np.ndarray) -> np.ndarray:
    """Differences of neighbours, once what is constant along rows or columns is taken off."""
    grid = thumbnail.reshape(SIDE, SIDE).astype(float)
    rest = grid - grid.mean(0) - grid.mean(1)[:, None] + grid.mean()
    return np.concatenate([np.diff(rest, axis=0).ravel(), np.diff(rest, axis=1).ravel()])


def test_similarity_is_the_correlation_of_gradients() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 200, SIDE**2)
    for share in (0.0, 0.3, 1.0):
        one = base.astype(np.uint8)
        other = (base * share + rng.integers(0, 200, SIDE**2) * (1 - share)).astype(np.uint8)
        first, second = gradients(one), gradients(other)
        expected = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
        assert similarity(one, other) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("change", ["quality 20", "half size", "4:3 to 3:2", "brighter", "darker"])
def test_a_copy_stays_alike_whatever_its_encoding_size_and_brightness(
    tmp_path: Path, change: str
) -> None:
    for seed in range(5):
        image = picture(seed)
        original = thumbnail(image, tmp_path)
        match change:
            case "quality 20":
                copy = thumbnail(image, tmp_path, quality=20)
            case "half size":
                copy = thumbnail(image.resize((160, 120)), tmp_path)
            case "4:3 to 3:2":
                copy = thumbnail(image.resize((360, 240)), tmp_path)
            case "brighter":
                copy = thumbnail(ImageEnhance.Brightness(image).enhance(1.2), tmp_path)
            case _:
                copy = thumbnail(ImageEnhance.Brightness(image).enhance(0.7), tmp_path)
        assert similarity(original, copy) > TWIN_SIMILARITY


def test_pictures_of_different_things_are_not_alike_even_under_one_sky(tmp_path: Path) -> None:
    sky = np.linspace(230, 40, 240)[:, None, None] * np.ones((1, 320, 3))
    shown = []
    for seed in range(12):
        street = np.asarray(picture(seed), float)
        mixed = Image.fromarray((0.75 * sky + 0.25 * street).astype(np.uint8))
        shown.append(thumbnail(mixed, tmp_path))
    alike = signatures(np.stack(shown)) @ signatures(np.stack(shown)).T
    assert alike[~np.eye(12, dtype=bool)].max() < 0.65
    plain = np.corrcoef(np.stack(shown).astype(float))
    assert plain[~np.eye(12, dtype=bool)].min() > TWIN_SIMILARITY  # what a plain correlation says


@pytest.mark.parametrize(("depth", "twins"), [(4, 0), (120, 10)])
def test_fog_and_night_are_nobodys_twin(tmp_path: Path, depth: int, twins: int) -> None:
    """One lens darkens all corners a little; the second case shows that much is a pattern."""
    rows, columns = np.mgrid[-1:1:240j, -1:1:320j]
    corners = (rows**2 * columns**2)[:, :, None] * np.ones(3)
    for grey in (180, 130):
        shown = []
        for seed in range(5):
            noise = np.random.default_rng(seed).normal(0, 3, (240, 320, 3))
            pixels = (grey - depth * corners + noise).clip(0, 255).astype(np.uint8)
            shown.append(thumbnail(Image.fromarray(pixels), tmp_path))
        found = signatures(np.stack(shown))
        alike = np.triu(found @ found.T, 1) >= TWIN_SIMILARITY
        assert alike.sum() == twins


def photographs(
    thumbnails: Sequence[np.ndarray],
    metres: Sequence[tuple[float, float]] | None = None,
    sequences: Sequence[str | None] | None = None,
    sha256: Sequence[str | None] | None = None,
    zones: Sequence[str | None] | None = None,
) -> Photographs:
    number = len(thumbnails)
    nowhere = [(np.nan, np.nan)] * number
    return Photographs(
        sha256=sha256 or [None] * number,
        thumbnails=np.stack(thumbnails).astype(np.uint8),
        metres=np.array(metres or nowhere, float),
        zones=zones or [None] * number,
        sequences=sequences or [None] * number,
    )


@pytest.fixture
def patterns() -> list[np.ndarray]:
    return list(np.random.default_rng(7).integers(0, 255, (4, SIDE**2)).astype(np.uint8))


@pytest.mark.parametrize(
    ("metres", "drive", "displaced"),
    [
        ((25.0, 0.0), "b", False),
        ((25.1, 0.0), "b", True),
        ((900.0, 0.0), "a", False),
        ((np.nan, np.nan), "b", False),
        ((25.1, 0.0), None, True),
    ],
)
def test_a_copy_is_a_twin_at_the_same_spot_of_the_same_drive_or_somewhere_unknown(
    patterns: list[np.ndarray], metres: tuple[float, float], drive: str | None, displaced: bool
) -> None:
    queries = photographs(patterns[:1], [(0.0, 0.0)], ["a"], ["1"])
    database = photographs([patterns[1], patterns[0]], [(0.0, 0.0), metres], ["a", drive])
    found = find_copies(database, queries)
    assert list(found) == [1]  # the other shows something else, wherever it is
    assert (found[1].query, found[1].displaced, found[1].twin) == (0, displaced, not displaced)
    assert found[1].similarity == pytest.approx(1)


def test_coordinates_of_two_utm_zones_are_two_spots(patterns: list[np.ndarray]) -> None:
    queries = photographs(patterns[:1], [(0.0, 0.0)], zones=["30"])
    database = photographs(patterns[:1] * 2, [(0.0, 0.0)] * 2, zones=["31", None])
    found = find_copies(database, queries)
    assert [found[row].displaced for row in (0, 1)] == [True, False]


def test_equal_bytes_are_a_twin_even_without_detail_or_from_elsewhere() -> None:
    black = [np.zeros(SIDE**2)]
    queries = photographs(black, [(0.0, 0.0)], sha256=["abc"])
    database = photographs(black * 2, [(500.0, 0.0)] * 2, sha256=["abc", "def"])
    found = find_copies(database, queries)
    assert list(found) == [0]
    assert (found[0].twin, found[0].displaced, found[0].similarity) == (True, True, 1.0)


def test_of_several_queries_that_of_the_same_spot_is_named(patterns: list[np.ndarray]) -> None:
    nearly = patterns[0].astype(int) + np.random.default_rng(1).integers(-9, 9, SIDE**2)
    queries = photographs(
        [patterns[0], nearly.clip(0, 255)], [(900.0, 0.0), (0.0, 0.0)], sha256=["1", "2"]
    )
    database = photographs(patterns[:1], [(3.0, 0.0)], sha256=["3"])
    copy = find_copies(database, queries)[0]
    assert (copy.query, copy.displaced) == (1, False)
    assert TWIN_SIMILARITY < copy.similarity < 0.9999


@pytest.mark.parametrize("others", [3, 4, 9, 40])
def test_however_many_queries_are_as_alike_that_of_the_same_spot_is_found(
    patterns: list[np.ndarray], others: int
) -> None:
    nearly = (patterns[0].astype(int) + np.random.default_rng(1).integers(-9, 9, SIDE**2)).clip(
        0, 255
    )
    metres = [(900.0 + n, 0.0) for n in range(others)]  # each as alike as can be, and elsewhere
    queries = photographs([*patterns[:1] * others, nearly], [*metres, (0.0, 0.0)])
    copies = find_copies(photographs(patterns[:2], [(3.0, 0.0)] * 2), queries)
    assert list(copies) == [0]
    assert (copies[0].query, copies[0].twin) == (others, True)


def test_block_by_block_the_same_copies_are_found_and_no_more_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)
    queries = photographs(list(rng.integers(0, 255, (3, SIDE**2))))
    shown = list(rng.integers(0, 255, (11, SIDE**2)))
    shown[4], shown[10] = queries.thumbnails[2], queries.thumbnails[0]
    whole = find_copies(photographs(shown), queries)
    assert {row: copy.query for row, copy in whole.items()} == {4: 2, 10: 0}
    sizes = []

    def watched(thumbnails: np.ndarray) -> np.ndarray:
        sizes.append(len(thumbnails))
        return signatures(thumbnails)

    monkeypatch.setattr(twins, "_BLOCK", 4)
    monkeypatch.setattr(twins, "signatures", watched)
    assert find_copies(photographs(shown), queries) == whole
    assert sizes == [3, 4, 4, 3]


def test_a_set_without_queries_has_no_copies(patterns: list[np.ndarray]) -> None:
    nobody = photographs([np.zeros(SIDE**2)])
    none = Photographs([], nobody.thumbnails[:0], nobody.metres[:0], [], [])
    assert find_copies(photographs(patterns), none) == {}
    assert find_copies(none, photographs(patterns)) == {}


def test_london_separates_copies_from_the_nearest_different_photographs(
    london: Path, tmp_path: Path
) -> None:
    """Copies are re-encoded, smaller and brighter; of a tenth, to be quick."""
    paths = sorted((london / "msls_london").rglob("*.jpg"))
    shown = []
    for path in paths:
        pixels = decode_image(path, Framing("thumbnail", SIDE), 50).pixels
        assert pixels is not None
        shown.append(pixels[..., 0].ravel())
    originals = signatures(np.stack(shown))
    asked = np.array(["query" in path.parts for path in paths])
    assert (asked.sum(), (~asked).sum()) == (500, 1000)
    assert 0.6 < (originals[asked] @ originals[~asked].T).max() < 0.7

    copies = []
    for number, path in enumerate(paths[::10]):
        with Image.open(path) as image:
            changed = ImageEnhance.Brightness(image.convert("RGB")).enhance(1.15)
            changed = changed.resize((image.width // 2, image.height // 2))
        copies.append(thumbnail(changed, tmp_path, quality=50 + number % 40))
    assert (originals[::10] * signatures(np.stack(copies))).sum(axis=1).min() > 0.9
