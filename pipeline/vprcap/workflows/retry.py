"""Retry: make rows of a caption set again, in the way that the set was made."""

from pathlib import Path

from vprcap.caption_job import WorkOptions, open_job, options_of
from vprcap.caption_sets.row_filter import RowFilter
from vprcap.engines.options import EngineOptions, Started
from vprcap.engines.start import require, start
from vprcap.errors import StaleArtefactError
from vprcap.stages.reopen import reopen
from vprcap.workflows.caption_sets import open_set
from vprcap.workflows.prepare import Source


def retry(
    source: Source,
    captions: Path | None,
    where: RowFilter,
    work: WorkOptions,
    engine: EngineOptions,
    *,
    prompt: str | None = None,
) -> tuple[Started, int]:
    """Make the rows that a filter means again; return what came of it and how many those were.

    Also finishes what a retry that was killed has left open.

    Raises:
        DependencyError: the engine cannot start here; nothing is changed then.
        StaleArtefactError: the set cannot be made here as it was: another model or processor.
        BusyError: another process works on such a shard, or changes the set.
    """
    require(engine)
    known = open_set(source, captions)
    options = options_of(known.captions, known.manifest, prompt)
    job = open_job(options)
    if job.captions.root.absolute() != known.captions.root.absolute():
        raise StaleArtefactError(
            f"here its captions would be {job.captions.root.name}, not {known.captions.root.name}: "
            "the model or the prompt has changed; caption anew, or restore what was used"
        )
    num_rows = reopen(known.captions, where)
    return start(options, work, engine), num_rows
