"""The command that shows captions beside their images."""

from pathlib import Path
from typing import Annotated

import typer

from vprcap.cli.options import Captions, CaptionsRoot, Dataset, OfSet, Root, Split


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
        int, typer.Option(min=1, help="How many rows; of more, every k-th is shown.")
    ] = 200,
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write; default: SET.html here.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the whole set on 127.0.0.1 until Ctrl-C.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of --serve; 0: any free.")] = 0,
) -> None:
    """Show captions beside their images: one page to keep, or served for large sets.

    Example: vprcap view captions/pitts30k-test-llava-1.5-7b-hf-nf4-place-1a2b3c4d --flag refusal
    """
    from vprcap.caption_sets.search import Asked, words_of
    from vprcap.workflows.prepare import Source
    from vprcap.workflows.viewing import caption_server, view_captions

    source = Source(manifest, dataset, root, split, captions_root)
    if not serve:
        asked = Asked(words_of(search), status, flag)
        typer.echo(
            view_captions(
                source,
                captions,
                out,
                against=against,
                images=images,
                asked=asked,
                num_rows=limit,
            )
        )
        return
    with caption_server(source, captions, against=against, images=images, port=port) as server:
        typer.echo(server.address)
        typer.echo("vprcap: Ctrl-C ends it", err=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("", err=True)
