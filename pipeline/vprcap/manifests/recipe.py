"""A recipe: how to read a known dataset and what its protocol expects.

One TOML file per dataset and protocol in ``manifests/``: where its files lie, which split is which,
the ground-truth rule, the counts that must be found, licence and citation. The same photographs
under another rule or another choice of queries are another recipe with another name, because the
field's results differ by ten points between protocols of one dataset.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from vprcap.errors import InvalidError, MissingError, first_line
from vprcap.manifests.rule import PositiveRule, stated_rule
from vprcap.resources import shipped

COUNTED = ("database", "query", "solvable")
_TEXTS = ("title", "default_split", "licence", "citation", "obtain")
_KINDS: dict[type, str] = {str: "a text", list: "a list", dict: "a table"}


@dataclass(frozen=True, slots=True)
class Layout:
    """One way in which a split lies on disk."""

    kind: str
    """A branch of `vprcap.manifests.layouts.kinds.read_layout`."""
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
    except (InvalidError, OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise InvalidError(f"{path} is no recipe: {_reason(problem)}; correct it") from None


def _reason(problem: Exception) -> str:
    return f"{first_line(problem)} is missing" if isinstance(problem, KeyError) else str(problem)


def _parse(name: str, raw: dict[str, Any]) -> Recipe:
    splits = {key: _split(key, value) for key, value in _typed(raw, "splits", dict).items()}
    rule = stated_rule(_typed(raw, "positives", dict))
    folder = _inside(_typed(raw, "folder", str, name))
    notes = tuple(_texts(raw, "notes", []))
    texts = {key: _typed(raw, key, str) for key in _TEXTS}
    recipe = Recipe(name=name, splits=splits, rule=rule, folder=folder, notes=notes, **texts, **raw)
    recipe.split(None)
    _check_names(recipe)
    return recipe


def _check_names(recipe: Recipe) -> None:
    """Two splits of one name would be one manifest, and the first would stand for both."""
    names = [recipe.set_name(split) for split in recipe.splits]
    if len(set(names)) < len(names):
        raise ValueError(
            f"splits {', '.join(recipe.splits)} of {recipe.name!r} would have one name "
            f"{max(names, key=names.count)!r}; rename the file or a split"
        )


def _split(name: str, raw: dict[str, Any]) -> Split:
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"split {name!r} names files; use letters, digits, _ and - alone")
    layouts = tuple(map(_layout, _typed(raw, "layouts", list)))
    if not layouts:
        raise ValueError(f"split {name!r} has no layouts")
    causes = tuple(
        Cause(text=_typed(each, "text", str), found=_counts(each))
        for each in _typed(raw, "causes", list, [])
    )
    counts = {key: _counts(_typed(raw, key, dict, {})) for key in ("counts", "unverified_counts")}
    return Split(layouts=layouts, causes=causes, **counts, **raw)


def _counts(raw: dict[str, Any]) -> dict[str, int]:
    if unknown := raw.keys() - set(COUNTED):
        raise ValueError(f"count of {unknown.pop()!r}; we count {', '.join(COUNTED)}")
    for what, number in raw.items():
        if type(number) is not int or number < 0:
            raise ValueError(f"count of {what} is {number!r:.40}, not a whole number")
    return raw


def _layout(raw: dict[str, Any]) -> Layout:
    requires = tuple(map(_inside, _texts(raw, "requires")))
    return Layout(_typed(raw, "kind", str), requires, raw)


def _typed(raw: dict[str, Any], key: str, kind: type, default: Any = None) -> Any:
    """Take out what a table of the recipe says of `key`, which is of one kind."""
    if type(raw) is not dict:
        raise ValueError(f"{raw!r:.40} stands where a table with {key!r} must")
    value = raw.pop(key) if default is None else raw.pop(key, default)
    if type(value) is not kind:
        raise ValueError(f"{key} is {value!r:.40}, not {_KINDS[kind]}")
    return value


def _texts(raw: dict[str, Any], key: str, default: Any = None) -> list[str]:
    values: list[str] = _typed(raw, key, list, default)
    if not all(type(value) is str for value in values):
        raise ValueError(f"{key} is {values!r:.40}, not a list of texts")
    return values


def _inside(path: str) -> str:
    """A recipe reads below the dataset's folder and nowhere else."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError(f"path {path!r} leaves the root")
    return path
