"""Retry flagged: caption a dataset, then its flagged images once more under another decoding.

Each step finds what an earlier run of the same command has done, so one that was killed is run
again; and there are no more steps than these, so none goes on for ever.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.retried import TEMPERATURE
from vprcap.engines.options import EngineOptions, Started
from vprcap.engines.start import start
from vprcap.errors import InvalidError
from vprcap.stages.adopt import adopt
from vprcap.stages.select_flagged import select_flagged


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of the flagged captions of a set."""

    started: Started
    """Of the set; or, where tasks on a cluster are at work, of what they are at work on."""
    flagged: int = 0
    better: int = 0
    """Captions that took the place of flagged ones."""
    temperature: float = 0.0
    """Of the second try."""


def retry_flagged(
    options: JobOptions, flags: Collection[str], work: WorkOptions, engine: EngineOptions
) -> Retried:
    """Caption what is left, then write flagged captions again and keep those that got better.

    Where an engine only submits, nothing more is done: run the same again when its tasks are done.

    Raises:
        InvalidError: the captioner has nothing to sample, so it would write the same again.
        VprcapError: see `vprcap.engines.start.start`.
    """
    if options.captioner == "labels":
        raise InvalidError("labels has nothing to sample; leave --retry-flagged out")
    started = _caption(options, work, engine)
    if started.job_id is not None:
        return Retried(started)
    captions = CaptionSet(started.captions)
    selected = select_flagged(captions, flags)
    if selected is None:
        return Retried(started)
    manifest, num_flagged = selected
    again = _drawn(replace(options, manifest=manifest, captions_root=captions.retries, limit=None))
    retried = _caption(again, work, engine)
    if retried.job_id is not None:
        return Retried(retried, num_flagged, 0, again.temperature)
    better = adopt(captions, CaptionSet(retried.captions))
    return Retried(started, num_flagged, better, again.temperature)


def _caption(options: JobOptions, work: WorkOptions, engine: EngineOptions) -> Started:
    """Caption what a job has left; nothing is started, or submitted, for nothing."""
    job = open_job(options)
    return start(options, work, engine) if job.num_left else Started(job.captions.root)


def _drawn(options: JobOptions) -> JobOptions:
    """Return the decoding of the second try: draws, by another seed than the first had."""
    temperature = options.temperature or TEMPERATURE
    return replace(options, temperature=temperature, seed=options.seed + 1)
