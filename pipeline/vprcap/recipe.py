"""A recipe: how to read a known dataset and what its protocol expects.

One TOML file per dataset and protocol in ``manifests/``: where its files lie, which split is which,
the ground-truth rule, the counts that must be found, licence and citation. The same photographs
under another rule or another choice of queries are another recipe with another name, because the
field's results differ by ten points between protocols of one dataset.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from vprcap.errors import InvalidError, MissingError, first_line
from vprcap.resources import shipped
from vprcap.rule import PositiveRule

COUNTED = ("database", "query", "solvable")


@dataclass(frozen=True, slots=True)
class Layout:
    """One way in which a split lies on disk."""

    kind: str
    """A branch of `vprcap.layouts.kinds.read_layout`."""
    requires: tuple[str, ...]
    """Paths below the dataset's folder; the layout is there if all of them exist."""
    fields: Mapping[str, Any]
    """Keyword arguments of the layout's reader."""

    def is_at(self, root: Path) -> bool:
        """Say whether a dataset's folder has this layout."""
        return all((root / path).exists() for path in self.requires)


@dataclass(frozen=True, slots=True)
class Cause:
    """What a known wrong count means."""

    found: Mapping[str, int]
    text: str


@dataclass(frozen=True, slots=True)
class Split:
    """One named part of a dataset."""

    layouts: tuple[Layout, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    """Expected images by role (``database``, ``query``) and ``solvable`` queries; checked by us or
    stated by the release, so another count is refused."""
    unverified_counts: Mapping[str, int] = field(default_factory=dict)
    """From memory of a paper: another count is only warned of."""
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """A dataset and its protocol."""

    name: str
    title: str
    default_split: str
    splits: Mapping[str, Split]
    licence: str
    citation: str
    obtain: str
    rule: PositiveRule
    folder: str
    """Folder of the dataset below the root; several protocols may share one."""
    notes: tuple[str, ...] = ()
    """What this protocol is and is not, a line each."""

    def split(self, name: str | None) -> str:
        """Return the split's name, or the default one; complain about an unknown one."""
        name = name or self.default_split
        if name not in self.splits:
            raise MissingError(
                f"{self.name} has no split {name!r}; it has: {', '.join(self.splits)}"
            )
        return name

    def set_name(self, split: str) -> str:
        """Return what results call a split, e.g. ``pitts30k-test``."""
        return self.name if split in self.name.split("-") else f"{self.name}-{split}"

    def layout(self, split: str, root: Path) -> Layout:
        """Return the first layout of a split that is there.

        Raises:
            MissingError: none is.
        """
        layouts = self.splits[split].layouts
        for layout in layouts:
            if layout.is_at(root):
                return layout
        wanted = ", or for ".join(" and ".join(layout.requires) for layout in layouts)
        raise MissingError(
            f"no {self.set_name(split)} found under {root}: looked for {wanted}; {self.obtain}"
        )


def recipe_names() -> list[str]:
    """Names of the shipped recipes, sorted."""
    return sorted(path.stem for path in shipped("manifests").glob("*.toml"))


def shipped_recipes() -> Iterator[Recipe]:
    """Load every shipped recipe."""
    return map(load_recipe, recipe_names())


def load_recipe(dataset: str) -> Recipe:
    """Load a shipped recipe by name, or one's own by the path of its TOML file.

    Raises:
        MissingError: there is none.
        InvalidError: it is no recipe.
    """
    path = Path(dataset)
    if path.suffix != ".toml":
        names = recipe_names()
        if dataset not in names:
            raise MissingError(
                f"no recipe for dataset {dataset!r}; there are: {', '.join(names)}; or give the "
                "path of a recipe of your own, NAME.toml"
            )
        path = shipped("manifests") / f"{dataset}.toml"
    try:
        return _parse(path.stem, tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise MissingError(f"no recipe {path}; see `vprcap datasets`") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise InvalidError(f"{path} is no recipe: {_reason(problem)}; correct it") from None


def _reason(problem: Exception) -> str:
    return f"{first_line(problem)} is missing" if isinstance(problem, KeyError) else str(problem)


def _parse(name: str, raw: dict[str, Any]) -> Recipe:
    splits = {key: _split(value) for key, value in raw.pop("splits").items()}
    rule = PositiveRule(**raw.pop("positives"))
    folder = _inside(raw.pop("folder", name))
    notes = tuple(raw.pop("notes", ()))
    recipe = Recipe(name=name, splits=splits, rule=rule, folder=folder, notes=notes, **raw)
    recipe.split(None)
    return recipe


def _split(raw: dict[str, Any]) -> Split:
    layouts = tuple(_layout(dict(each)) for each in raw.pop("layouts"))
    causes = tuple(
        Cause({key: value for key, value in each.items() if key != "text"}, each["text"])
        for each in raw.pop("causes", ())
    )
    split = Split(layouts=layouts, causes=causes, **raw)
    for counts in (split.counts, split.unverified_counts, *(cause.found for cause in causes)):
        if unknown := counts.keys() - set(COUNTED):
            raise ValueError(f"count of {unknown.pop()!r}; we count {', '.join(COUNTED)}")
    return split


def _layout(raw: dict[str, Any]) -> Layout:
    requires = tuple(map(_inside, raw.pop("requires")))
    return Layout(raw.pop("kind"), requires, raw)


def _inside(path: str) -> str:
    """A recipe reads below the dataset's folder and nowhere else."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError(f"path {path!r} leaves the root")
    return path
