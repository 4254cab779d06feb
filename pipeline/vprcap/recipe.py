"""A recipe: how to read a known dataset and what its protocol expects.

One TOML file per dataset in ``manifests/``. It names the layouts that the dataset comes in, the
splits with their counts, the ground-truth rule, licence and citation.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vprcap.errors import InvalidError, MissingError
from vprcap.layouts.at import read_at
from vprcap.layouts.gsv_cities import read_gsv_cities
from vprcap.layouts.netvlad import read_netvlad
from vprcap.manifest import Manifest, ManifestInfo, build_manifest
from vprcap.resources import shipped


@dataclass(frozen=True, slots=True)
class Split:
    """One named part of a dataset."""

    counts: dict[str, int]
    """Expected images by role (``database``, ``query``); empty where nobody verified them."""
    at: str | None = None
    """Folder of the ``@`` layout, relative to the root."""
    mat: str | None = None
    """NetVLAD ``.mat`` file, relative to the root."""
    gsv_cities: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """A dataset and its protocol."""

    name: str
    title: str
    default_split: str
    splits: dict[str, Split]
    licence: str
    citation: str
    obtain: str
    positive_radius_m: float = 25.0
    zone: str = ""

    def split(self, name: str | None) -> str:
        """Return the split's name, or the default one; complain about an unknown one."""
        name = name or self.default_split
        if name not in self.splits:
            raise MissingError(
                f"{self.name} has no split {name!r}; it has: {', '.join(self.splits)}"
            )
        return name


def load_recipe(name: str) -> Recipe:
    """Load the recipe of a dataset by name."""
    folder = shipped("manifests")
    names = sorted(path.stem for path in folder.glob("*.toml"))
    if name not in names:
        raise MissingError(f"no recipe for dataset {name!r}; there are: {', '.join(names)}")
    raw: dict[str, Any] = tomllib.loads((folder / f"{name}.toml").read_text("utf-8"))
    splits = {key: Split(**value) for key, value in raw.pop("splits").items()}
    return Recipe(name=name, splits=splits, **raw)


def scan_recipe(recipe: Recipe, split: str, root: Path, allow_partial: bool) -> Manifest:
    """Read one split where it lies and hold it against the expected counts.

    Raises:
        MissingError: none of the recipe's layouts is there.
        InvalidError: the counts differ and `allow_partial` is not set.
    """
    columns = _read(recipe, recipe.splits[split], root)
    name = f"{recipe.name}-{split}"
    info = ManifestInfo(str(root.absolute()), name, recipe.positive_radius_m)
    manifest = build_manifest(columns, info)
    partial = _count_problem(manifest, recipe.splits[split].counts)
    if partial and not allow_partial:
        raise InvalidError(
            f"{name} under {root} has {partial}; unpack the whole dataset, or say "
            "--allow-partial and every result will be labelled"
        )
    info = ManifestInfo(info.image_root, name, recipe.positive_radius_m, partial)
    return Manifest(manifest.rows, info)


def _read(recipe: Recipe, split: Split, root: Path) -> dict[str, Any]:
    if split.mat and (root / split.mat).is_file():
        return read_netvlad(root, split.mat, recipe.zone)
    if split.at and (root / split.at).is_dir():
        return read_at(root, split.at)
    if split.gsv_cities and (root / "Images").is_dir():
        return read_gsv_cities(root)
    expected = [str(root / part) for part in (split.mat, split.at) if part]
    expected += [str(root / "Images")] if split.gsv_cities else []
    raise MissingError(f"no {recipe.name} found: neither {' nor '.join(expected)}; {recipe.obtain}")


def _count_problem(manifest: Manifest, expected: dict[str, int]) -> str | None:
    found = {role: len(manifest.rows_of(role)) for role in expected}
    wrong = [
        f"{found[role]} of {count} {role} images"
        for role, count in expected.items()
        if found[role] != count
    ]
    return ", ".join(wrong) or None
