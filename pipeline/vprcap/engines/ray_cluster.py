"""A Ray cluster that is joined, or started on this machine, and says nothing unless it fails."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vprcap.errors import DependencyError, first_line

_KNOCK_SECONDS = 5.0


@contextmanager
def join_cluster(address: str | None) -> Iterator[int]:
    """Join a cluster, or start one on this machine that ends with the body; give its GPUs.

    Args:
        address: of its head; None: the cluster that runs on this machine, or else a new one.

    Raises:
        DependencyError: no Ray, or no cluster at the address.
    """
    ray = load_ray()
    try:
        _knock(address)
        ray.init(
            address=address, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
        )
    except (OSError, RuntimeError, ValueError) as problem:
        raise DependencyError(
            f"no Ray cluster at {address or 'this machine'} ({first_line(problem)}); run vprcap on "
            "a node of one, or name its head by --ray-address"
        ) from None
    try:
        yield int(ray.cluster_resources().get("GPU", 0))
    finally:
        ray.shutdown()


def _knock(address: str | None) -> None:
    """See whether anybody answers: Ray itself would try for more than a minute."""
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()


def load_ray() -> Any:
    """Return the package, kept from sending usage statistics.

    Raises:
        DependencyError: it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before the import: it would phone home
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a warning says so
    try:
        import ray
    except ImportError:
        raise DependencyError(
            "the Ray engine needs ray; install it with `pip install 'vprcap[ray]'`"
        ) from None
    return ray
