from pathlib import Path

import pytest

from vprcap.errors import InvalidError, MissingError
from vprcap.ground_truth.counts import count, differences, likely_cause
from vprcap.manifests.manifest import ManifestInfo, build_manifest
from vprcap.manifests.recipe import load_recipe, recipe_names, shipped_recipes
from vprcap.manifests.rule import PositiveRule, parse_rule

OWN = """
title = "Own"
default_split = "test"
licence = "mine"
citation = "none"
obtain = "take the pictures"
[positives]
kind = "radius"
radius_m = 10
[splits.test]
counts = { database = 5, query = 3 }
[[splits.test.causes]]
query = 7
text = "the night drive is among the queries"
[[splits.test.layouts]]
kind = "at"
requires = ["images"]
folder = "images"
"""


def own_recipe(folder: Path, text: str = OWN) -> str:
    path = folder / "own.toml"
    path.write_text(text)
    return str(path)


def test_a_recipe_of_ones_own_is_named_by_its_path(tmp_path: Path) -> None:
    recipe = load_recipe(own_recipe(tmp_path))
    assert (recipe.name, recipe.folder) == ("own", "own")
    assert recipe.rule == PositiveRule(radius_m=10)
    assert recipe.set_name("test") == "own-test"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "Own"', "title =", "Invalid value"),
        ('licence = "mine"', "", "licence"),
        ("radius_m = 10", "metres = 10", "metres"),
        ("radius_m = 10", "radius_m = -1", "must be above 0"),
        ("query = 3", "queries = 3", "count of 'queries'"),
        ('requires = ["images"]', 'requires = ["../images"]', "leaves the root"),
        ('default_split = "test"', 'default_split = "val"', "no split 'val'"),
        ('kind = "at"', "", "'kind' is missing"),
        ('title = "Own"', "title = []", r"title is \[\], not a text"),
        ('title = "Own"', 'title = "Own"\nnotes = "one"', "notes is 'one', not a list"),
        ('title = "Own"', 'title = "Own"\nnotes = [1]', r"notes is \[1\], not a list of texts"),
        ('title = "Own"', 'title = "Own"\nfolder = 5', "folder is 5, not a text"),
        ("query = 3", "query = true", "count of query is True, not a whole number"),
        ("query = 3", "query = 3.0", "count of query is 3.0, not a whole number"),
        ("query = 3", "query = -1", "count of query is -1, not a whole number"),
        ("query = 7", "query = 'x'", "count of query is 'x', not a whole number"),
        ("counts = { database = 5, query = 3 }", "counts = 5", "counts is 5, not a table"),
        ('requires = ["images"]', 'requires = "images"', "requires is 'images', not a list"),
        ('requires = ["images"]', "requires = [5]", "not a list of texts"),
        ('kind = "at"', "kind = 5", "kind is 5, not a text"),
        (
            "radius_m = 10",
            "radius_m = true",
            "radius_m of the positives is True, not of type float",
        ),
        ("radius_m = 10", "radius_m = inf", "positive radius of inf m"),
        ("radius_m = 10", "frames = 1.5", "frames of the positives is 1.5, not of type int"),
        (
            "radius_m = 10",
            'radius_m = "25"',
            "radius_m of the positives is '25', not of type float",
        ),
    ],
)
def test_a_recipe_with_a_mistake_is_refused_in_one_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises((InvalidError, MissingError), match=message) as caught:
        load_recipe(own_recipe(tmp_path, OWN.replace(old, new, 1)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("my-val-test", "val", "would have one name 'my-val-test'; rename"),
        ("my", '"../../evil"', r"split '\.\./\.\./evil' names files"),
        ("my", '"a b"', "split 'a b' names files"),
    ],
)
def test_splits_that_would_share_or_leave_their_manifest_are_refused(
    tmp_path: Path, name: str, split: str, message: str
) -> None:
    layout = 'kind = "at"\nrequires = ["images"]\n'
    path = tmp_path / f"{name}.toml"
    path.write_text(f"{OWN}[[splits.{split}.layouts]]\n{layout}")
    with pytest.raises(InvalidError, match=message):
        load_recipe(str(path))


def test_a_recipe_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no recipe .*nowhere\.toml"):
        load_recipe(str(tmp_path / "nowhere.toml"))
    with pytest.raises(MissingError, match="no recipe for dataset 'pitts'; there are: .*pitts30k"):
        load_recipe("pitts")


def test_every_shipped_recipe_says_licence_citation_and_where_to_get_it() -> None:
    assert len(recipe_names()) >= 2
    for recipe in shipped_recipes():
        assert recipe.licence and recipe.citation and recipe.obtain, recipe.name
        for split in recipe.splits.values():
            assert split.layouts, recipe.name
            assert not split.counts.keys() & split.unverified_counts.keys(), recipe.name


def test_a_set_is_not_named_twice_after_its_split() -> None:
    assert load_recipe("pitts30k").set_name("test") == "pitts30k-test"


def test_counts_of_roles_and_solvable_queries_are_those_by_hand() -> None:
    columns = {
        "image_id": ["d0", "d1", "q0", "q1", "t"],
        "role": ["database", "database", "query", "query", None],
        "easting": [0.0, 50.0, 0.0, 99.0, 0.0],
        "northing": [0.0] * 5,
    }
    manifest = build_manifest(arrays(columns), ManifestInfo("/", "toy"))
    wanted = {"database": 2, "query": 2, "solvable": 2}
    found = count(manifest, wanted)
    assert found == {"database": 2, "query": 2, "solvable": 1}
    assert differences(found, wanted) == "1 of 2 queries with a positive"
    # Other images have other positives: that is no second difference.
    assert differences(found, {**wanted, "query": 3}) == "2 of 3 query images"
    assert differences(found, {"database": 2}) is None


def arrays(columns: dict) -> dict:
    import pyarrow as pa

    return {name: pa.array(values) for name, values in columns.items()}


@pytest.mark.parametrize(
    ("database", "query", "cause"),
    [
        (5, 7, "the night drive is among the queries"),
        (3, 5, "database and queries are swapped"),
        (10_000, 6_816, "these are the counts of pitts30k-test"),
        (0, 0, "no image lies where the protocol's are"),
        (5, 2, "half unpacked"),
        (6, 3, "another release"),
    ],
)
def test_a_wrong_count_says_its_likely_cause(
    tmp_path: Path, database: int, query: int, cause: str
) -> None:
    recipe = load_recipe(own_recipe(tmp_path))
    assert cause in likely_cause(recipe, "test", {"database": database, "query": query})


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("radius=25", PositiveRule()),
        ("radius=10,heading=40", PositiveRule(radius_m=10, heading_deg=40)),
        ("heading=40", PositiveRule(heading_deg=40)),
        ("frames=2", PositiveRule("frames", frames=2)),
        ("place", PositiveRule("place")),
    ],
)
def test_a_rule_is_read_as_it_is_stated(text: str, rule: PositiveRule) -> None:
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("", "25", "radius=x", "radius=0", "frames=1,radius=2", "near=3"),
        *("frames=2.7", "frames=inf", "frames=1e30", "frames=2147483648", "frames=1,frames=2"),
        *("radius=inf", "radius=nan", "radius=25,radius=10", "heading=nan"),
    ],
)
def test_a_rule_that_cannot_be_understood_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        parse_rule(text)
