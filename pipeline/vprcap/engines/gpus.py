"""The GPUs that workers may use, found without torch: a parent must not hold a CUDA context."""

import os
import subprocess


def visible_gpus() -> list[str]:
    """Return the names that CUDA_VISIBLE_DEVICES takes: what it holds, or all there are."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        names = [name.strip() for name in allowed.split(",")]
        return [name for name in names if name and name != "-1"]
    try:
        found = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return found.stdout.split()
