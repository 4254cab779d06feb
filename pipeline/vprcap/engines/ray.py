"""The Ray engine: a Ray Core actor per GPU of a cluster, each of which runs a worker program.

The driver supervises actors as the local engine supervises processes, and starts an actor anew
that was lost with its node: Ray's own restarts would repeat a call, but not say so, nor end. What a
node that is lost had in hand is taken over once its lease is stale, so only rows that were not
journaled are made again. Of Ray no more is used than placement and messages: rows do not pass
through it, and its other libraries would bring commit protocols of their own.

Ray Core tells an actor nothing of a preemption: where a node is ended in good order, Ray kills its
actors and what they started. So a preempted node is a lost node, and costs the same.
"""

import json
import os
import queue
import re
import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vprcap.caption_job import CaptionJob, JobOptions, WorkOptions, open_job
from vprcap.engines.holders import wait_for_holders
from vprcap.engines.options import EngineOptions
from vprcap.engines.process import Event
from vprcap.engines.ray_actor import WorkerActor
from vprcap.engines.ray_cluster import join_cluster, load_ray
from vprcap.engines.supervisor import Starter, conclude, supervise
from vprcap.engines.worker_process import worker_command
from vprcap.errors import BusyError, DependencyError, InvalidError, VprcapError, first_line
from vprcap.stopping import StopFlag, stop_on_signals

PLACE_SECONDS = 3600.0
"""How long a worker waits for a node that has a place for it: new spot machines take minutes."""
_LOOK_SECONDS = 5.0
_SAY_SECONDS = 60.0


def caption_on_ray(options: JobOptions, work: WorkOptions, engine: EngineOptions) -> Path:
    """Caption what is left with actors; return the folder of the caption set.

    Raises:
        BusyError: other runs hold every shard that is left.
        DependencyError: no Ray, or no cluster at the address.
        Interrupted: a signal asked to stop, or the deadline is near.
        WorkerError: workers died again and again without a new row, or found no place.
        VprcapError: what a worker could not go on with.
    """
    require(engine)
    job = open_job(options)
    if not job.pending:
        return job.captions.root
    job.captions.create(job.captioner.config, asdict(job.plan.info))
    # Signals second: Ray sets handlers of its own when it starts, which end the process.
    with join_cluster(_address(engine)) as num_gpus, stop_on_signals() as stop:
        gpus = 0 if options.captioner == "openai" else num_gpus
        starter = _starter(job, options, work, min(1, gpus))
        failure = _caption(job, starter, engine.workers or max(1, gpus), stop)
    conclude(job.now(), failure, stop)
    return job.captions.root


def _caption(
    job: CaptionJob, start: Starter, num_workers: int, stop: StopFlag
) -> VprcapError | None:
    """Caption until all is done, or in the hands of workers of other runs that live."""
    while True:
        failure = supervise(job, start, num_workers, stop)
        job = job.now()
        if not isinstance(failure, BusyError) or not job.pending or stop():
            return failure
        if not wait_for_holders(job, stop):
            return failure


def require(engine: EngineOptions) -> None:
    """Refuse what cannot be started, before anything is changed.

    Raises:
        DependencyError: no Ray.
        InvalidError: fewer than one worker, or an address of Ray's client.
    """
    _address(engine)
    load_ray()


def describe_actors(options: JobOptions, work: WorkOptions, engine: EngineOptions) -> str:
    """Return what a cluster would be asked for, without looking for one.

    Raises:
        InvalidError: an option is out of its range.
    """
    address = _address(engine) or "the one that runs on this machine, or else a new one"
    if options.captioner == "openai":
        count, each = "1", json.dumps(_resources(0))
    else:
        count = "one per GPU of the cluster, or one where there is none"
        each = f"{json.dumps(_resources(1))}, without GPUs {json.dumps(_resources(0))}"
    return "\n".join(
        [
            f"cluster: {address}",
            f"actors:  {engine.workers or count}",
            f"each:    {each}",
            f"runs in: {Path.cwd()}",
            shlex.join(worker_command(options, work)),
        ]
    )


def _address(engine: EngineOptions) -> str | None:
    """Return where the cluster is; None: Ray looks on this machine."""
    if engine.workers is not None and engine.workers < 1:
        raise InvalidError(f"--workers {engine.workers} is too small; use at least 1")
    address = engine.ray_address or os.environ.get("RAY_ADDRESS") or None
    if address and address.startswith("ray://"):
        raise InvalidError(
            f"{address} is an address of Ray's client, which cannot follow workers; run vprcap on "
            "a node of the cluster, with --ray-address auto"
        )
    return address


def _resources(gpus: int) -> dict[str, Any]:
    """Return what Ray is told of an actor."""
    return {
        "num_cpus": 1,
        "num_gpus": gpus,
        "max_concurrency": 2,
        "max_restarts": 0,
        "scheduling_strategy": "SPREAD",
    }


def _starter(job: CaptionJob, options: JobOptions, work: WorkOptions, gpus: int) -> Starter:
    kind = load_ray().remote(WorkerActor).options(**_resources(gpus))
    # Of the set, not of the plan, for a node that has a folder of that name of its own.
    arguments = (options, work, Path.cwd(), job.captions.root.absolute())

    def start(number: int, events: "queue.Queue[Event]") -> _RemoteWorker:
        return _RemoteWorker(number, kind, arguments, events, lambda: bool(job.now().pending))

    return start


class _RemoteWorker:
    """An actor, from when it is asked for; its events arrive as a local process's do."""

    def __init__(
        self,
        number: int,
        kind: Any,
        arguments: tuple[Any, ...],
        events: "queue.Queue[Event]",
        is_needed: Callable[[], bool],
    ) -> None:
        self._number, self._events, self._is_needed = number, events, is_needed
        self._actor, self._arguments = kind.remote(number), arguments
        self._stopped = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def send(self, number: int) -> None:
        """Drain it; one that has no place yet is not waited for any more."""
        self._stopped.set()
        self._actor.drain.remote()

    def kill(self) -> None:
        """End it at once; its program drains alone."""
        load_ray().kill(self._actor)

    def _follow(self) -> None:
        try:
            last = [self._relay()]
        except (load_ray().exceptions.RayError, VprcapError) as problem:
            last = _endings(self._number, problem)
        self.kill()  # first: after the last event Ray may be shut down
        for event in last:
            self._events.put(event)

    def _relay(self) -> Event:
        """Pass on what the actor does, once it has a place; return how it ended."""
        if self._wait_for_place():
            for reference in self._actor.work.remote(*self._arguments):
                event: Event = load_ray().get(reference)
                if event.returncode is not None:
                    return event
                self._events.put(event)
        return Event(self._number, returncode=0)

    def _wait_for_place(self) -> bool:
        """Wait for a node; False: none is needed any more, or none came."""
        ray, ready = load_ray(), self._actor.__ray_ready__.remote()
        begun = said = time.monotonic()
        while not ray.wait([ready], timeout=_LOOK_SECONDS)[0]:
            now = time.monotonic()
            if self._stopped.is_set() or not self._is_needed():
                return False
            if now - begun > PLACE_SECONDS:
                message = "no node had a free place for a worker; add nodes, or use fewer --workers"
                self._events.put(Event(self._number, error="WorkerError", message=message))
                return False
            if now - said > _SAY_SECONDS:
                said = now
                self._events.put(Event(self._number, line="waiting for a node with a free place"))
        ray.get(ready)  # raises why it could not be placed
        return not self._stopped.is_set()


def _endings(number: int, problem: Exception) -> list[Event]:
    """Say how a worker ended whose actor did not say so itself."""
    absent = re.search(r"ModuleNotFoundError: .*", str(problem))
    if absent is None:
        return [Event(number, lost=f"was lost ({first_line(problem)})")]
    node = re.search(r"\bip=([^\s,)]+)", str(problem))
    message = (
        f"node {node[1] if node else 'of another version'} cannot load vprcap as this one does "
        f"({absent[0]}); install the same version on every node"
    )
    return [
        Event(number, line=message),
        Event(number, error=DependencyError.__name__, message=message),
        Event(number, returncode=0),
    ]
