"""Options that several commands share."""

import shlex
import sys
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
OfSet = Annotated[
    Path | None,
    typer.Argument(
        metavar="MANIFEST|SET", help="A manifest, a folder of images, or that of a caption set."
    ),
]
Captioner = Annotated[
    str,
    typer.Option(
        help="transformers; openai: any server of its chat protocol; vllm, in process; labels of "
        "an image classifier, the control without a language model; or fake for a rehearsal."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Hub name, directory, or packaged:tiny-llava (demonstration); "
        "default: llava-hf/llava-1.5-7b-hf. Of openai: as the server names it; default: its only "
        "one. Of labels: a classifier's hub name or directory; "
        "default: packaged:efficientnet-lite0. Of fake: its faults, e.g. latency=0.02,oom=8."
    ),
]
Quantization = Annotated[str, typer.Option(help="nf4, int8 or none; of transformers only.")]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        envvar="OPENAI_BASE_URL",
        help="Server of openai, e.g. http://localhost:8000/v1; its key: OPENAI_API_KEY.",
    ),
]
ImageSide = Annotated[
    int, typer.Option(help="Pixels of the square that openai sends; LLaVA-1.5 sees 336.")
]
PromptName = Annotated[str, typer.Option(help="A shipped prompt, or a text file; labels has none.")]
Framing = Annotated[str, typer.Option(help="pad keeps the whole picture; crop the centre.")]
MaxNewTokens = Annotated[int, typer.Option(help="Longest caption, in tokens; not of labels.")]
BatchSize = Annotated[
    int,
    typer.Option(help="Images a batch; halved when out of memory. Of openai: requests at once."),
]


def _number_or_auto(text: str | int) -> int | None:
    """Read what a user wrote; typer passes a default, a number, through here too."""
    return None if text == "auto" else int(text)


BatchSizeOrAuto = Annotated[
    int | None,
    typer.Option(
        parser=_number_or_auto,
        metavar="N|auto",
        help="Images a batch; halved when out of memory. auto: found while working, by speed and "
        "memory; not of openai and vllm. Of openai: requests at once.",
    ),
]
DecodeWorkers = Annotated[int | None, typer.Option(help="Processes that decode; default: up to 4.")]
MaxMegapixels = Annotated[float, typer.Option(help="Larger images are not decoded.")]
Engine = Annotated[
    str,
    typer.Option(help="What starts the workers: local, on this machine; slurm; or ray."),
]
Workers = Annotated[
    int | None,
    typer.Option(help="Local, ray: worker processes; default: one per GPU, one on a CPU."),
]
Partition = Annotated[str | None, typer.Option(help="Slurm: where to queue; default: the site's.")]
Time = Annotated[
    str | None,
    typer.Option(help="Slurm: limit of a task, e.g. 90 (minutes) or 4:00:00; default: 4:00:00."),
]
Gpus = Annotated[
    int | None, typer.Option(help="Slurm: GPUs of each task, a worker on each; default: 1.")
]
Constraint = Annotated[
    str | None, typer.Option(help="Slurm: features that nodes must have, e.g. a100|h100.")
]
Array = Annotated[int | None, typer.Option(help="Slurm: tasks that share the work; default: 1.")]
RayAddress = Annotated[
    str | None,
    typer.Option(
        help="Ray: head node of a cluster; default: RAY_ADDRESS, or the cluster that runs on this "
        "machine, or a new one."
    ),
]
FollowLinks = Annotated[
    bool,
    typer.Option("--follow-links", help="Show images that are links out of the image root."),
]


def command_line() -> str:
    """Return what was typed, fit for a shell."""
    return shlex.join(["vprcap", *sys.argv[1:]])
