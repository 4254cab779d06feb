import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vprcap.combiner import CombinerConfig, FeatureCombiner
from vprcap.errors import InvalidError, MissingError

Inputs = Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


@pytest.fixture
def stored(combiner: FeatureCombiner, tmp_path: Path) -> Path:
    combiner.save(tmp_path / "combiner")
    return tmp_path / "combiner"


def test_a_loaded_combiner_gives_the_same_bits(
    combiner: FeatureCombiner, stored: Path, make_inputs: Inputs
) -> None:
    loaded = FeatureCombiner.load(stored)
    assert loaded.config == combiner.config
    for ours, theirs in zip(combiner(*make_inputs()), loaded(*make_inputs()), strict=True):
        assert torch.equal(ours, theirs)


def test_a_combiner_is_two_readable_files_and_no_pickle(stored: Path) -> None:
    assert sorted(path.name for path in stored.iterdir()) == ["config.json", "model.safetensors"]


def test_an_absent_combiner_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"config\.json"):
        FeatureCombiner.load(tmp_path)


def test_weights_of_another_configuration_are_refused_in_one_line(stored: Path) -> None:
    config = json.loads((stored / "config.json").read_text())
    (stored / "config.json").write_text(json.dumps(config | {"descriptor_dim": 7}))
    with pytest.raises(InvalidError, match="do not belong together") as raised:
        FeatureCombiner.load(stored)
    assert "\n" not in str(raised.value)


def test_a_configuration_of_something_else_is_refused(stored: Path) -> None:
    (stored / "config.json").write_text('{"hidden_size": 4}')
    with pytest.raises(InvalidError, match="no configuration of this combiner"):
        FeatureCombiner.load(stored)


def test_a_damaged_file_of_weights_is_refused(stored: Path) -> None:
    (stored / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(InvalidError, match="is damaged"):
        FeatureCombiner.load(stored)


def test_missing_weights_are_named(stored: Path) -> None:
    (stored / "model.safetensors").unlink()
    with pytest.raises(MissingError, match=r"model\.safetensors"):
        FeatureCombiner.load(stored)


@pytest.mark.parametrize("sizes", [{"descriptor_dim": 0}, {"width": 9, "num_heads": 2}])
def test_impossible_sizes_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(InvalidError):
        CombinerConfig(**({"image_dim": 4, "text_dim": 4} | sizes))
