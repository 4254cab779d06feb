"""What a recipe says to a layout's reader is held against what the reader takes."""

from contextlib import suppress
from pathlib import Path

import pytest

from vprcap.errors import InvalidError, MissingError
from vprcap.manifests.layouts.kinds import read_layout
from vprcap.manifests.recipe import shipped_recipes


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("at", {"database": 5}, "database = 5 is no str"),
        ("at", {"domain_by_zone": 1}, "domain_by_zone = 1 is no bool"),
        ("at", {"queries": {"night": 3}}, "queries = {'night': 3} is no "),
        ("at", {"images": "x"}, "unexpected keyword argument 'images'"),
        ("msls", {"part": "test", "cities": "cph"}, "cities = 'cph' is no "),
        ("msls", {"part": "test", "cities": ["cph", 1]}, "cities = .* is no "),
        ("msls", {"part": "test"}, "missing a required argument: 'cities'"),
        ("frames", {"database": ["a"], "queries": ["b"], "query_stride": True}, "True is no int"),
        ("at-frames", {"folder": "a", "metres_apart": "5"}, "metres_apart = '5' is no float"),
        ("table", {"table": "../x.csv"}, "table = '../x.csv' leaves the dataset's folder"),
        ("table", {"table": "/etc/passwd"}, "leaves the dataset's folder"),
        ("frames", {"database": ["a/../../b"], "queries": ["b"]}, "database = .* leaves"),
        ("at", {"queries": {"night": "/n"}}, "queries = .* leaves"),
        ("new", {}, "layout 'new' of the recipe is unknown"),
    ],
)
def test_a_field_that_a_reader_cannot_take_is_named_in_one_line(
    tmp_path: Path, kind: str, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidError, match=message) as refused:
        read_layout(kind, tmp_path, fields)
    assert "\n" not in str(refused.value)


def test_a_whole_number_of_metres_and_foreign_column_names_are_taken(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no folder"):
        read_layout("at-frames", tmp_path, {"folder": "a", "metres_apart": 5})
    with pytest.raises(MissingError, match="no table"):
        read_layout("table", tmp_path, {"table": "t.csv", "columns": {"place_id": "/cell"}})


def test_every_shipped_recipe_says_what_its_readers_take(tmp_path: Path) -> None:
    for recipe in shipped_recipes():
        for split in recipe.splits.values():
            for layout in split.layouts:
                with suppress(MissingError):  # nothing is there, but nothing is refused
                    read_layout(layout.kind, tmp_path, layout.fields)
