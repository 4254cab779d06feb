"""What is said of work that a batch system goes on with."""

import json
import shlex
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from vprcap.engines.options import Started


def print_submitted(started: "Started", as_json: bool, **more: Any) -> None:
    """Print the job's number, where its tasks write, and how to follow and to end it."""
    if as_json:
        result = {
            "captions": str(started.captions),
            "job_id": started.job_id,
            "tasks": started.num_tasks,
            "logs": str(started.logs),
            **more,
        }
        typer.echo(json.dumps(result, indent=2))
        return
    typer.echo(started.captions)
    for name, value in more.items():
        typer.echo(f"{value:,} {name.replace('_', ' ')}")
    typer.echo(f"job {started.job_id}, tasks: {started.num_tasks:,}, logs in {started.logs}")
    typer.echo(f"follow it: vprcap status {shlex.quote(str(started.captions))} --watch")
    typer.echo(f"end it:    scancel {started.job_id}")
