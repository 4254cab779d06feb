"""Commands that retrieve: index, search."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vprcap.cli.options import (
    Captions,
    CaptionsRoot,
    Dataset,
    FeaturesRoot,
    Images,
    Json,
    Partial,
    Root,
    Split,
)

if TYPE_CHECKING:
    from vprcap.workflows.retrieval import Hit

Memory = Annotated[
    str, typer.Option(help="Most memory that the process may take, e.g. 500MB or 4GB.")
]


def index_command(
    manifest: Images = None,
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    captions: Captions = None,
    features_root: FeaturesRoot = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder of the trained combiner; default: runs/combiner.")
    ] = None,
    descriptors: Annotated[
        Path | None,
        typer.Option(help="Index this file of `vprcap eval` instead; --run says whose it is."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the index; default: in the run.")
    ] = None,
    kind: Annotated[str, typer.Option(help="flat (exact), hnsw, ivf-pq or binary.")] = "flat",
    mode: Annotated[
        str, typer.Option(help="What describes the images: fused, image (no captions), text.")
    ] = "fused",
    memory: Memory = "2GB",
    allow_partial: Partial = False,
    as_json: Json = False,
) -> None:
    """Index the database images of a set for `vprcap search`.

    Example: vprcap index --dataset pitts30k --root /data --kind binary
    """
    from vprcap.errors import InvalidError
    from vprcap.retrieval.memory import parse_size
    from vprcap.workflows.prepare import Source
    from vprcap.workflows.retrieval import index_descriptors, index_set

    source = Source(manifest, dataset, root, split, captions_root, allow_partial)
    num_bytes = parse_size(memory)
    if descriptors is None:
        made = index_set(
            source,
            run or Path("runs/combiner"),
            output,
            kind=kind,
            mode=mode,
            captions=captions,
            features_root=features_root,
            memory=num_bytes,
        )
    elif output is None:
        raise InvalidError("say where the index of these descriptors goes: --output FOLDER")
    else:
        made = index_descriptors(
            source, descriptors, output, run=run, kind=kind, mode=mode, memory=num_bytes
        )
    _print_index(made, as_json)


def _print_index(root: Path, as_json: bool) -> None:
    from vprcap.files import read_json

    info = read_json(root / "index.json")
    if as_json:
        typer.echo(json.dumps({"index": str(root), **info}, indent=2))
        return
    typer.echo(root)
    typer.echo(
        f"{info['count']:,} images of {info['manifest']}, {info['mode']}, {info['dim']} numbers "
        f"each, {info['kind']}"
    )


def search_command(
    index: Annotated[Path, typer.Argument(help="Folder that `vprcap index` made.")],
    image: Annotated[Path | None, typer.Option(help="Find places like this picture.")] = None,
    text: Annotated[str | None, typer.Option(help="Find places of this description.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many images.")] = 10,
    run: Annotated[
        Path | None, typer.Option(help="Where the combiner of the index is, if it was moved.")
    ] = None,
    memory: Memory = "2GB",
    as_json: Json = False,
) -> None:
    """Find the images of an index that are most like a picture, words, or both together.

    Example: vprcap search runs/combiner/index/pitts30k-test-fused-flat --image street.jpg
    """
    from vprcap.retrieval.memory import parse_size
    from vprcap.workflows.retrieval import ask

    hits = ask(index, image=image, text=text, run=run, num_retrieved=top, memory=parse_size(memory))
    _print_hits(index, hits, as_json)


def _print_hits(index: Path, hits: "list[Hit]", as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        results = [asdict(hit) for hit in hits]
        typer.echo(json.dumps({"index": str(index), "results": results}, indent=2))
        return
    names = [ascii(hit.image_id)[1:-1] for hit in hits]
    width = max(map(len, names), default=0)
    for hit, name in zip(hits, names, strict=True):
        typer.echo(f"{hit.rank:>4}  {hit.score:.4f}  {name:<{width}}{_position(hit)}".rstrip())


def _position(hit: "Hit") -> str:
    if hit.easting is None or hit.northing is None:
        return ""
    return f"  {hit.easting:.1f} {hit.northing:.1f} {hit.zone or ''}"
