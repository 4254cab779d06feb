from pathlib import Path

import numpy as np
import pytest

from vprcap.errors import BusyError, InvalidError, MissingError
from vprcap.retrieval.features import FeatureWriter, digest_rows, features_path, read_features


def tokens(start: int, count: int) -> np.ndarray:
    return np.arange(start * 6, (start + count) * 6, dtype=np.float32).reshape(count, 3, 2)


def full(count: int) -> np.ndarray:
    return np.ones((count, 3), dtype=bool)


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path / "f", (5, 3, 2))
    writer.append(tokens(0, 2), full(2))
    writer.append(tokens(2, 3), full(3))
    features = read_features(writer.finish({"kind": "image"}))
    np.testing.assert_array_equal(features.tokens, tokens(0, 5))
    assert features.present.all()


def test_an_interrupted_set_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path / "f", (4, 3, 2))
    writer.append(tokens(0, 2), full(2))
    writer.save_progress()
    writer.append(tokens(90, 1), full(1))  # never saved: the process dies here
    (tmp_path / "f" / "lease.json").unlink()
    resumed = FeatureWriter(tmp_path / "f", (4, 3, 2))
    assert resumed.num_done == 2
    resumed.append(tokens(2, 2), full(2))
    np.testing.assert_array_equal(read_features(resumed.finish({})).tokens, tokens(0, 4))


def test_a_set_has_one_writer_at_a_time(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "f", (4, 3, 2)):
        with pytest.raises(BusyError, match="another process writes"):
            FeatureWriter(tmp_path / "f", (4, 3, 2))
    with FeatureWriter(tmp_path / "f", (4, 3, 2)) as again:
        assert again.num_done == 0


def test_an_unfinished_set_is_no_set(tmp_path: Path) -> None:
    FeatureWriter(tmp_path / "f", (4, 3, 2)).save_progress()
    with pytest.raises(MissingError, match="no finished features"):
        read_features(tmp_path / "f")


def test_a_damaged_set_says_so(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path / "f", (1, 3, 2))
    writer.append(tokens(0, 1), full(1))
    path = writer.finish({})
    (path / "tokens.npy").write_bytes(b"\x80\x04pickle")
    with pytest.raises(InvalidError, match="are damaged"):
        read_features(path)


def test_columns_that_no_caption_fills_are_left_out_and_empty_rows_are_absent(
    tmp_path: Path,
) -> None:
    writer = FeatureWriter(tmp_path / "f", (2, 3, 2))
    mask = np.array([[True, True], [False, False]])
    writer.append(tokens(0, 2)[:, :2], mask)
    features = read_features(writer.finish({}))
    assert features.tokens.shape == (2, 2, 2)
    assert features.present.tolist() == [True, False]


def test_the_name_of_a_set_says_the_encoder_and_hides_no_change(tmp_path: Path) -> None:
    path = features_path(tmp_path, "packaged:dinov2-s-saliency@8", {"images": digest_rows(["a"])})
    assert path.name.startswith("dinov2-s-saliency-layer8-")
    assert path != features_path(
        tmp_path, "packaged:dinov2-s-saliency@8", {"images": digest_rows(["b"])}
    )


def test_rows_that_run_together_have_different_digests() -> None:
    assert digest_rows(["ab", "c"]) != digest_rows(["a", "bc"])
    assert digest_rows([None]) != digest_rows([""])
