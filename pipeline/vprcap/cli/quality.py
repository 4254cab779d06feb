"""The command that looks at the quality of captions."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from vprcap.cli.options import Captions, CaptionsRoot, Dataset, Json, OfSet, Root, Split

if TYPE_CHECKING:
    from vprcap.stages.assess import Assessment, Example

_MOST_CHARACTERS = 300
_MOST_WORDS = 5


def qa_command(
    manifest: OfSet = None,
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    captions: Captions = None,
    examples: Annotated[
        int, typer.Option(min=0, help="How many of the worst captions to show for each flag.")
    ] = 3,
    as_json: Json = False,
) -> None:
    """Say how many captions are flagged for what, and show the worst. Nothing is changed.

    Example: vprcap qa --dataset pitts30k --examples 5
    """
    from vprcap.stages.assess import assess
    from vprcap.workflows.caption_sets import find_set
    from vprcap.workflows.prepare import Source

    found_set = find_set(Source(manifest, dataset, root, split, captions_root), captions)
    found = assess(found_set, num_examples=examples)
    if as_json:
        result = {"captions_folder": str(found_set.root), **found.to_json()}
        typer.echo(json.dumps(result, indent=2))
        return
    typer.echo(found_set.root)
    _print(found)


def _print(found: "Assessment") -> None:
    from vprcap.cli.status_lines import table

    typer.echo(
        f"{found.captions:,} captions, {found.distinct:,} different ones, {found.flagged:,} flagged"
    )
    if found.stored_flags_differ:
        typer.echo(f"{found.stored_flags_differ:,} rows were stored with other flags")
    rows = [
        (flag, f"{count:,}", f"{count / found.captions:.2%}")
        for flag, count in found.flags.most_common()
    ]
    if rows:
        typer.echo("\n".join(["", *table(("flag", "rows", "share"), rows)]))
    for flag, _ in found.flags.most_common():
        for example in found.examples.get(flag, []):
            typer.echo(f"\n{flag}: {_shown(example)}")


def _shown(example: "Example") -> str:
    """Show an example in one paragraph, escaped: a caption is whatever a model, or a sign, says."""
    because = ", ".join(dict.fromkeys(example.because[:_MOST_WORDS]))
    words = (example.image_id, because[:_MOST_CHARACTERS], example.caption[:_MOST_CHARACTERS])
    image_id, because, caption = (ascii(each)[1:-1] for each in words)
    return f"{image_id} ({because})\n  {caption}"
