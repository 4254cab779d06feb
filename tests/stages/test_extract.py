from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.errors import InvalidError, MissingError
from vprcap.evaluation.corruption import Corruption
from vprcap.retrieval.features import read_features
from vprcap.stages.caption import caption
from vprcap.stages.extract import extract_images, extract_text
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard
from vprcap.words import Words, read_words, words_path

MakeImages = Callable[..., Path]


class MeanColour:
    """An image encoder of one token: the mean colour."""

    name, dim, image_size, provenance = "mean", 3, (14, 14), "mean v1"

    def __init__(self) -> None:
        self.num_encoded = 0

    def encode(self, images: Sequence[Image.Image]) -> np.ndarray:
        self.num_encoded += len(images)
        return np.stack([np.asarray(image).mean(axis=(0, 1))[None] / 255 for image in images])


class Letters:
    """A text encoder of one token a letter: its code."""

    name, dim, max_length, provenance = "letters", 1, 1024, "letters v1"

    def encode(self, captions: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
        longest = max([1, *(len(text or "") for text in captions)])
        tokens = np.zeros((len(captions), longest, 1), dtype=np.float32)
        for row, text in enumerate(captions):
            tokens[row, : len(text or ""), 0] = [ord(letter) for letter in text or ""]
        return tokens, tokens[..., 0] > 0

    def words(self, captions: Sequence[str | None]) -> list[Words]:
        return [Words(text, list(text or ""), list(range(len(text or "")))) for text in captions]


@pytest.fixture
def manifest(make_images: MakeImages) -> Path:
    images = make_images([f"{i:02}.jpg" for i in range(20)])
    (images / "07.jpg").write_bytes(b"broken")
    return scan(images, images.parent / "set.parquet")


def test_every_image_is_encoded_and_a_broken_one_has_no_feature(
    manifest: Path, tmp_path: Path
) -> None:
    features = read_features(extract_images(manifest, MeanColour(), tmp_path / "features"))
    assert np.flatnonzero(~features.present).tolist() == [7]
    with Image.open(tmp_path / "images" / "03.jpg") as image:
        mean = np.asarray(image).mean(axis=(0, 1)) / 255
    np.testing.assert_allclose(features.tokens[3, 0], mean, rtol=2e-3)  # float16 on disk


def test_a_second_time_nothing_is_encoded_but_the_probe(manifest: Path, tmp_path: Path) -> None:
    encoder = MeanColour()
    first = extract_images(manifest, encoder, tmp_path / "features")
    encoded = encoder.num_encoded
    assert extract_images(manifest, encoder, tmp_path / "features") == first
    assert encoder.num_encoded == encoded


def test_captions_are_encoded_in_manifest_order_and_new_captions_make_new_features(
    manifest: Path, tmp_path: Path
) -> None:
    shard(manifest)
    sets = [
        caption(
            open_job(JobOptions(manifest, captioner="fake", model=model)),
            WorkOptions(decode_workers=1),
        )
        for model in ("", "loop=1")
    ]
    first, second = (
        extract_text(manifest, each, Letters(), tmp_path / "features") for each in sets
    )
    assert first != second
    features = read_features(first)
    assert np.flatnonzero(~features.present).tolist() == [7]
    assert chr(int(features.tokens[0, 0, 0])) == "A"  # every fake caption begins "A ..."


def test_the_words_that_were_encoded_lie_beside_their_tokens(
    manifest: Path, tmp_path: Path
) -> None:
    shard(manifest)
    captions = caption(
        open_job(JobOptions(manifest, captioner="fake")), WorkOptions(decode_workers=1)
    )
    path = extract_text(manifest, captions, Letters(), tmp_path / "features")
    features, words = read_features(path), read_words(words_path(path))
    assert len(words) == 20 and words[7] == Words(None, [], [])
    letters = [chr(int(code)) for code in features.tokens[3, :, 0] if code]
    assert words[3].words == letters and "".join(letters) == words[3].caption


def test_corrupted_captions_have_features_of_their_own_made_from_their_texts(
    manifest: Path, tmp_path: Path
) -> None:
    shard(manifest)
    captions = caption(
        open_job(JobOptions(manifest, captioner="fake")), WorkOptions(decode_workers=1)
    )

    def extracted(corruption: Corruption | None) -> Path:
        root = tmp_path / "features"
        return extract_text(manifest, captions, Letters(), root, corruption=corruption)

    honest, cut = extracted(None), extracted(Corruption("truncate", 0.5))
    assert extracted(Corruption("truncate", 0.0)) == honest != cut
    whole, half = (read_words(words_path(path)) for path in (honest, cut))
    for before, after in zip(whole, half, strict=True):
        assert (before.caption or "").startswith(after.caption or "")
        assert before.caption is None or before.caption != after.caption
    with pytest.raises(InvalidError, match="neither place_id nor positions"):
        extracted(Corruption("wrong-place"))


def test_the_other_prompt_is_read_from_the_other_set(manifest: Path, tmp_path: Path) -> None:
    shard(manifest)
    first, second = (
        caption(
            open_job(JobOptions(manifest, captioner="fake", model=model)),
            WorkOptions(decode_workers=1),
        )
        for model in ("", "loop=1")
    )
    corruption = Corruption("other-prompt", 1.0, other_captions=second)
    path = extract_text(manifest, first, Letters(), tmp_path / "features", corruption=corruption)
    direct = extract_text(manifest, second, Letters(), tmp_path / "features")
    assert read_words(words_path(path)) == read_words(words_path(direct))


def test_images_that_were_never_captioned_are_counted(manifest: Path, tmp_path: Path) -> None:
    shard(manifest)
    few = caption(
        open_job(JobOptions(manifest, captioner="fake", limit=5)), WorkOptions(decode_workers=1)
    )
    with pytest.raises(MissingError, match=r"15 of 20 images .* first '05\.jpg'; finish"):
        extract_text(manifest, few, Letters(), tmp_path / "features")
