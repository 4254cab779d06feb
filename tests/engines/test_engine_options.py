import pytest

from vprcap.engines.options import EngineOptions
from vprcap.errors import InvalidError


@pytest.mark.parametrize(
    ("engine", "option", "message"),
    [
        ("local", {"partition": "gpu"}, "--partition is of --engine slurm, not of local"),
        ("local", {"ray_address": "auto"}, "--ray-address is of --engine ray, not of local"),
        ("slurm", {"workers": 2}, "--workers is of --engine local and ray, not of slurm"),
        ("ray", {"gpus": 0}, "--gpus is of --engine slurm, not of ray"),
    ],
)
def test_an_option_of_another_engine_is_refused(
    engine: str, option: dict[str, int | str], message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        EngineOptions(engine, **option)  # type: ignore[arg-type]


def test_an_unknown_engine_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidError, match="no engine 'pbs'; there are: local, slurm, ray"):
        EngineOptions("pbs")


def test_every_engine_takes_its_own_options() -> None:
    EngineOptions("local", workers=2)
    EngineOptions("slurm", partition="p", time="9", gpus=0, constraint="c", array=3)
    EngineOptions("ray", workers=2, ray_address="auto")
