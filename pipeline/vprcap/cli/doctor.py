"""The command that examines a machine."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vprcap.cli.options import Json

if TYPE_CHECKING:
    from vprcap.workflows.doctor import Check, Fit


def doctor_command(
    model: Annotated[
        str | None, typer.Option(help="Also say what this model takes: hub name or directory.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what works on this machine, which models fit, and what to do about the rest.

    Ends with exit code 1 where something is at fault that vprcap cannot do without.

    Example: vprcap doctor
    """
    from vprcap.workflows.doctor import examine, fits

    checks = []
    for check in examine():
        checks.append(check)
        if not as_json:
            _print_check(check)
    room, models = fits(model)
    if as_json:
        result = {"checks": list(map(asdict, checks)), "models": list(map(asdict, models))}
        typer.echo(json.dumps(result, indent=2))
    else:
        _print_fits(room, models)
    if any(check.verdict == "fault" for check in checks):
        raise typer.Exit(1)


def _print_check(check: "Check") -> None:
    typer.echo(f"{check.verdict:<6}{check.name:<18}{check.found}")
    if check.remedy:
        typer.echo(f"{'':<24}{check.remedy}")


def _print_fits(room: str, models: "list[Fit]") -> None:
    """Print a line for each model and quantization."""
    from vprcap.retrieval.memory import show_size

    typer.echo(f"\nModels in {room}; estimated, activations come on top:")
    line = "{:<28}{:<14}{:<10}{:<13}{}"
    typer.echo(line.format("model", "quantization", "weights", "batch of 16", "largest batch"))
    for each in models:
        largest = f"{each.largest_batch:,}" if each.largest_batch else "does not fit"
        sizes = show_size(each.weights), show_size(each.total)
        typer.echo(line.format(each.model, each.quantization, *sizes, largest))
