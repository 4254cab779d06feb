import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from vprcap.decoding import DecodePool


def test_images_come_in_order_whatever_their_workers_speed(
    make_images: Callable[..., Path],
) -> None:
    root = make_images([f"{i}.jpg" for i in range(20)])
    paths = [root / f"{i}.jpg" for i in range(20)]
    paths[7] = root / "gone.jpg"
    with DecodePool(2, None, 50) as pool:
        statuses = [image.status for image in pool.decode(paths, ahead=6)]
    assert statuses == ["ok"] * 7 + ["missing"] + ["ok"] * 12


def test_the_workers_of_a_killed_process_do_not_outlive_it(
    make_images: Callable[..., Path],
) -> None:
    root = make_images(["a.jpg"])
    code = (
        "import sys, time; from pathlib import Path; from vprcap.decoding import DecodePool\n"
        "if __name__ == '__main__':\n"
        "    pool = DecodePool(2, None, 50)\n"
        "    list(pool.decode([Path(sys.argv[1])] * 8, 8))\n"
        "    print(*pool._executor._processes, flush=True); time.sleep(60)\n"
    )
    script = root.parent / "parent.py"
    script.write_text(code)
    parent = subprocess.Popen(
        [sys.executable, str(script), str(root / "a.jpg")], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert workers
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 10
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z" and os.getpid() != pid
