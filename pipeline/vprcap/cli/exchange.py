"""Commands that exchange with the field's other programs: import and export."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vprcap.cli.options import CaptionsRoot, Dataset, Images, Json, Partial, Root, Split


def import_command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Captions of others: LaVPR's CSV (image_path, description), or the .xlsx of "
            "Street360Loc (index, pos, text_description).",
        ),
    ],
    manifest: Images = None,
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    allow_partial: Partial = False,
    as_json: Json = False,
) -> None:
    """Make a caption set of captions that others wrote, and account for every row.

    Example: vprcap import pitts30k_test_descriptions.csv --dataset pitts30k --root /data
    """
    from vprcap.exchange.joined import report_from_json
    from vprcap.files import read_json
    from vprcap.stages.import_captions import JOIN_REPORT, import_captions
    from vprcap.workflows.prepare import Source, prepare

    source = Source(manifest, dataset, root, split, captions_root, allow_partial)
    captions = import_captions(file, prepare(source), captions_root=captions_root)
    report = read_json(captions / JOIN_REPORT)
    if as_json:
        typer.echo(json.dumps({"captions": str(captions), **report}, indent=2))
        return
    typer.echo(captions)
    typer.echo(report_from_json(report).to_text())


def export_command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A caption set; for msls the folder of an evaluation; for recalls a "
            "results.json, or a folder with several.",
        ),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="File or folder to write; not there yet.")
    ],
    to: Annotated[
        str,
        typer.Option(
            help="lavpr: its caption CSV; imagefolder: metadata.parquet and links; datasets: a "
            "Hugging Face directory; webdataset: tar shards; msls: a prediction file; recalls: "
            "one JSON."
        ),
    ],
    mode: Annotated[
        str | None, typer.Option(help="Of msls: whose predictions, e.g. fused.")
    ] = None,
) -> None:
    """Write captions, predictions or recalls as other programs read them.

    Example: vprcap export /data/pitts30k/captions/SET captions.csv --to lavpr
    """
    from vprcap.stages.export import export

    typer.echo(export(source, output, to=to, mode=mode))
