"""Commands about the datasets that vprcap knows: which there are, and what their protocols say."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vprcap.cli.options import Json, Root

if TYPE_CHECKING:
    from vprcap.manifests.recipe import Recipe


def datasets_command(
    action: Annotated[
        str | None, typer.Argument(metavar="[show", help="Say what one dataset's protocol is.")
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME]", help="Its name, or a TOML file.")
    ] = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """List known datasets and protocols and which are here, or show one: rule, counts, licence.

    Example: vprcap datasets --root /data

    Example: vprcap datasets show msls-val-740
    """
    if action is None:
        _list(root, as_json)
    elif action == "show" and name is not None:
        _show(name, as_json)
    else:
        raise typer.BadParameter("say `vprcap datasets`, or `vprcap datasets show NAME`")


def _list(root: Path | None, as_json: bool) -> None:
    from vprcap.manifests.recipe import shipped_recipes

    rows = [row for recipe in shipped_recipes() for row in _rows(recipe, root)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    lines = [list(rows[0]), *([str(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
    if root is None:
        typer.echo("vprcap: say --root FOLDER or set VPRCAP_DATA to see what is there", err=True)


def _rows(recipe: "Recipe", root: Path | None) -> Iterator[dict[str, Any]]:
    """Give a line for each split; the default one comes first."""
    splits = sorted(recipe.splits, key=lambda split: split != recipe.default_split)
    for split in splits:
        layouts = recipe.splits[split].layouts
        here = (
            [] if root is None else [each for each in layouts if each.is_at(root / recipe.folder)]
        )
        yield {
            "dataset": recipe.name,
            "split": split,
            "database / queries": _counts(recipe.splits[split].counts),
            "positives": str(recipe.rule),
            "found": f"{here[0].kind} in {recipe.folder}/" if here else "-",
        }


def _counts(counts: Mapping[str, int]) -> str:
    both = [counts.get(role) for role in ("database", "query")]
    return " / ".join("?" if number is None else f"{number:,}" for number in both)


def _show(name: str, as_json: bool) -> None:
    from dataclasses import asdict

    from vprcap.manifests.recipe import load_recipe

    recipe = load_recipe(name)
    if as_json:
        typer.echo(json.dumps(asdict(recipe), indent=2))
        return
    typer.echo(f"{recipe.name}: {recipe.title}")
    for note in recipe.notes:
        typer.echo(f"  note      {note}")
    typer.echo(f"  rule      {recipe.rule}")
    for split in recipe.splits:
        _show_split(recipe, split)
    typer.echo(f"  folder    {recipe.folder}/ below --root")
    typer.echo(f"  licence   {recipe.licence}")
    typer.echo(f"  citation  {recipe.citation}")
    typer.echo(f"  obtain    {recipe.obtain}")


def _show_split(recipe: "Recipe", name: str) -> None:
    split = recipe.splits[name]
    default = " (default)" if name == recipe.default_split else ""
    typer.echo(f"  split     {name}{default}")
    for counts, what in ((split.counts, "counts"), (split.unverified_counts, "unverified")):
        if counts:
            numbers = ", ".join(f"{number:,} {thing}" for thing, number in counts.items())
            typer.echo(f"    {what:<10}{numbers}")
    for layout in split.layouts:
        typer.echo(f"    {'layout':<10}{layout.kind}: {', '.join(layout.requires)}")
