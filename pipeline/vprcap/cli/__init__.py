"""The command line: flags in, one stage or workflow called, a few lines out.

Results go to stdout, progress and warnings to stderr. Errors of ours become one line and exit
code 1; a stop signal ends with 128 plus its number, as shells expect. Heavy modules are imported
inside the commands, so that `--help` is quick.
"""

import logging
import os
import sys
from typing import NoReturn

import typer

from vprcap.cli.captioning import caption_command
from vprcap.cli.datasets import datasets_command
from vprcap.cli.doctor import doctor_command
from vprcap.cli.estimation import estimate_command
from vprcap.cli.evaluation import demo_command, eval_command
from vprcap.cli.exchange import export_command, import_command
from vprcap.cli.operations import compact_command, retry_command, status_command, verify_command
from vprcap.cli.pages import plot_command, report_command
from vprcap.cli.quality import qa_command
from vprcap.cli.retrieval import index_command, search_command
from vprcap.cli.scanning import scan_command, shard_command
from vprcap.cli.training import train_command
from vprcap.cli.viewing import view_command
from vprcap.errors import Interrupted, VprcapError

app = typer.Typer(
    name="vprcap",
    help="Write captions for visual place recognition, fuse them with images, measure the gain.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command("datasets")(datasets_command)
app.command("scan")(scan_command)
app.command("shard")(shard_command)
app.command("caption")(caption_command)
app.command("status")(status_command)
app.command("retry")(retry_command)
app.command("estimate")(estimate_command)
app.command("verify")(verify_command)
app.command("qa")(qa_command)
app.command("view")(view_command)
app.command("compact")(compact_command)
app.command("import")(import_command)
app.command("export")(export_command)
app.command("train")(train_command)
app.command("eval")(eval_command)
app.command("report")(report_command)
app.command("plot")(plot_command)
app.command("index")(index_command)
app.command("search")(search_command)
app.command("demo")(demo_command)
app.command("doctor")(doctor_command)


def main() -> NoReturn:
    """Run the command line."""
    # Spinning OpenMP threads make small models on few cores tens of times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(format="vprcap: %(message)s", level=logging.WARNING)
    try:
        app(standalone_mode=True)
    except Interrupted as stopped:
        print(f"vprcap: {stopped}", file=sys.stderr)
        raise SystemExit(stopped.exit_code) from None
    except VprcapError as error:
        print(f"vprcap: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    raise SystemExit(0)
