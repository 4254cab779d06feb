"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Root = Annotated[
    Path | None,
    typer.Option(envvar="VPRCAP_DATA", help="Folder that holds the datasets, one folder each."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Dataset = Annotated[
    str | None, typer.Option(help="A dataset that vprcap knows, e.g. pitts30k, in --root.")
]
Split = Annotated[str | None, typer.Option(help="Part of the dataset; default: its recipe's.")]
CaptionsRoot = Annotated[
    Path | None,
    typer.Option(help="Folder of caption sets; default: captions/ in the image root."),
]
Partial = Annotated[
    bool,
    typer.Option("--allow-partial", help="Accept wrong counts and label every result with them."),
]
Images = Annotated[
    Path | None, typer.Argument(metavar="MANIFEST", help="A manifest, or a folder of images.")
]
FeaturesRoot = Annotated[
    Path | None,
    typer.Option(help="Folder of cached features; default: features/ in the image root."),
]
Captions = Annotated[
    Path | None, typer.Option(help="Caption set to use, where the captions root holds several.")
]
