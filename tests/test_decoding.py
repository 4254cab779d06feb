import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vprcap.decoding import DecodePool
from vprcap.images import DecodedImage, Framing, decode_image


def test_images_come_in_order_whatever_their_workers_speed(
    make_images: Callable[..., Path],
) -> None:
    root = make_images([f"{i}.jpg" for i in range(20)])
    paths = [root / f"{i}.jpg" for i in range(20)]
    paths[7] = root / "gone.jpg"
    with DecodePool(2, None, 50) as pool:
        statuses = [image.status for image in pool.decode(paths, ahead=6)]
    assert statuses == ["ok"] * 7 + ["missing"] + ["ok"] * 12


def test_a_worker_that_dies_in_mid_stream_costs_no_image(make_images: Callable[..., Path]) -> None:
    root = make_images([f"{i}.jpg" for i in range(30)])
    paths = [root / f"{i}.jpg" for i in range(30)]
    statuses = []
    with DecodePool(2, None, 50.0) as pool:
        for number, image in enumerate(pool.decode(paths, ahead=4)):
            statuses.append(image.status)
            if number == 5:
                os.kill(next(iter(pool._executor._processes)), signal.SIGKILL)
    assert statuses == ["ok"] * 30


def test_an_image_that_ends_its_worker_is_blamed_alone(
    make_images: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_images([f"{i}.jpg" for i in range(6)])
    monkeypatch.setattr("vprcap.decoding.decode_image", die_on_three)
    with DecodePool(1, None, 50.0) as pool:
        statuses = [image.status for image in pool.decode(sorted(root.iterdir()), ahead=3)]
    assert statuses == ["ok", "ok", "ok", "decode_error", "ok", "ok"]


def test_of_images_that_share_a_worker_only_the_bad_one_is_blamed(
    make_images: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_images([f"{i}.jpg" for i in range(10)])
    monkeypatch.setattr("vprcap.decoding.decode_image", die_on_three)
    with DecodePool(2, None, 50.0) as pool:
        decoded = list(pool.decode(sorted(root.iterdir()), ahead=32))
    statuses = [image.status for image in decoded]
    assert statuses == ["ok"] * 3 + ["decode_error"] + ["ok"] * 6


@pytest.mark.parametrize("ahead", [1, 24, 1000])
def test_images_that_are_handed_over_together_stay_in_order(
    make_images: Callable[..., Path], ahead: int
) -> None:
    root = make_images([f"{i}.jpg" for i in range(7)])
    paths = [root / f"{i}.jpg" for i in range(7)]
    expected = [decode_image(path, None, 50).sha256 for path in paths]
    with DecodePool(2, None, 50) as pool:
        assert [each.sha256 for each in pool.decode(paths, ahead)] == expected


def die_on_three(path: Path, framing: Framing | None, max_megapixels: float) -> DecodedImage:
    if path.name == "3.jpg":
        os._exit(1)
    return decode_image(path, framing, max_megapixels)


def test_workers_that_cannot_start_say_so(tmp_path: Path) -> None:
    """A script without a main guard starts itself again in each worker."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\nfrom vprcap.decoding import DecodePool\n"
        "with DecodePool(1, None, 50.0) as pool:\n"
        "    print(list(pool.decode([Path('a.jpg')], 1)))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert "call vprcap from under `if __name__ == '__main__':`" in done.stderr
    assert "decode_error" not in done.stdout


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
