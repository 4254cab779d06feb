"""Whether a set is the one that its protocol means: counts that must match, and why they may not.

One name stands for several test sets in this field, and a recall on the wrong one looks like any
other. A count that does not match is the only symptom, so it says what it is a symptom of.
"""

from collections.abc import Mapping

from vprcap.ground_truth.positives import build_task
from vprcap.manifests.manifest import Manifest
from vprcap.manifests.recipe import Recipe, Split, shipped_recipes

Counts = Mapping[str, int]


def count(manifest: Manifest, wanted: Counts) -> dict[str, int]:
    """Count what a recipe counts: images by role, and queries that have a positive."""
    found = {role: len(manifest.rows_of(role)) for role in wanted if role != "solvable"}
    if "solvable" in wanted:
        both = all(len(manifest.rows_of(role)) for role in ("database", "query"))
        found["solvable"] = int(build_task(manifest).solvable.sum()) if both else 0
    return found


def differences(found: Counts, expected: Counts) -> str | None:
    """Say which counts differ, e.g. ``3 of 10000 database images``; None where none does."""
    # Of other images, other queries are solvable: that says nothing more.
    wrong_roles = any(found[role] != expected[role] for role in expected if role != "solvable")
    wrong = [
        f"{found[what]} of {number} {_THINGS[what]}"
        for what, number in expected.items()
        if found[what] != number and not (what == "solvable" and wrong_roles)
    ]
    return ", ".join(wrong) or None


_THINGS = {
    "database": "database images",
    "query": "query images",
    "solvable": "queries with a positive",
}


def likely_cause(recipe: Recipe, split: str, found: Counts) -> str:
    """Say what counts that differ most likely mean."""
    own = recipe.splits[split]
    for cause in own.causes:
        if _agrees(found, cause.found):
            return cause.text
    if _swapped(found, own):
        return "database and queries are swapped"
    for other in shipped_recipes():
        for name, candidate in other.splits.items():
            if (other.name, name) != (recipe.name, split) and _is(found, candidate):
                return f"these are the counts of {other.set_name(name)}"
    if not any(found.values()):
        return "no image lies where the protocol's are"
    if all(found[what] <= number for what, number in own.counts.items()):
        return "an archive that is half unpacked, or a download that stopped"
    return "another release of the dataset, or images that do not belong to it"


def _agrees(found: Counts, known: Counts) -> bool:
    return all(found.get(what) == number for what, number in known.items())


def _is(found: Counts, split: Split) -> bool:
    """Only counts of both roles tell one set from another."""
    return {"database", "query"} <= split.counts.keys() and all(
        found.get(role) == split.counts[role] for role in ("database", "query")
    )


def _swapped(found: Counts, split: Split) -> bool:
    database, query = split.counts.get("database"), split.counts.get("query")
    return database != query and (found.get("database"), found.get("query")) == (query, database)
