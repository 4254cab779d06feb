"""The command that shows captions beside their images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vprcap.cli.options import Captions, CaptionsRoot, Dataset, FollowLinks, OfSet, Root, Split

if TYPE_CHECKING:
    from vprcap.caption_sets.search import Asked
    from vprcap.workflows.viewing import Looked


def view_command(
    manifest: OfSet = None,
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    captions: Captions = None,
    against: Annotated[
        Path | None, typer.Option(help="Another caption set, shown beside it; differences marked.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Image root; default: where the images were captioned.")
    ] = None,
    search: Annotated[str, typer.Option(help="Words of the caption or the file name.")] = "",
    status: Annotated[str | None, typer.Option(help="Only rows of this status, e.g. oom.")] = None,
    flag: Annotated[
        str | None, typer.Option(help="Only rows with this quality flag, e.g. refusal.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="How many rows; of more, every k-th is shown; default: 200."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write; default: SET.html here.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the whole set on 127.0.0.1 until Ctrl-C.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of --serve; default: any that is free.")
    ] = None,
    follow_links: FollowLinks = False,
) -> None:
    """Show captions beside their images: one page to keep, or served for large sets.

    Example: vprcap view captions/pitts30k-test-llava-1.5-7b-hf-nf4-place-1a2b3c4d --flag refusal
    """
    from vprcap.caption_sets.search import Asked, words_of
    from vprcap.errors import InvalidError
    from vprcap.stages.view import NUM_ROWS
    from vprcap.workflows.prepare import Source
    from vprcap.workflows.viewing import Looked, view_captions

    source = Source(manifest, dataset, root, split, captions_root)
    looked = Looked(source, captions, against, images, follow_links)
    asked = Asked(words_of(search), status, flag)
    if serve:
        if limit is not None or out is not None:
            raise InvalidError(
                "--serve shows all rows and writes nothing; leave out --limit, --out"
            )
        _serve(looked, asked, port or 0)
        return
    if port is not None:
        raise InvalidError("--port is of --serve")
    typer.echo(view_captions(looked, out, asked=asked, num_rows=limit or NUM_ROWS))


def _serve(looked: "Looked", asked: "Asked", port: int) -> None:
    from vprcap.pages.captions_server import query_of
    from vprcap.workflows.viewing import caption_server

    with caption_server(looked, asked=asked, port=port) as server:
        query = query_of(asked)
        typer.echo(server.address + (f"?{query}" if query else ""))
        typer.echo("vprcap: Ctrl-C ends it", err=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("", err=True)
