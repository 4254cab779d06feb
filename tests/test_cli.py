import inspect
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vprcap.cli import app, main

COMMANDS = [command.name for command in app.registered_commands]


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: exit code, stdout, stderr."""

    def run_main(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vprcap", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run_main


Run = Callable[..., tuple[int, str, str]]
MakeImages = Callable[..., Path]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"Example: vprcap {command}" in out


def test_known_datasets_are_listed_with_what_is_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pitts30k/images/val/database").mkdir(parents=True)
    (tmp_path / "pitts30k/images/val/queries").mkdir()
    code, out, err = run("datasets", "--root", tmp_path)
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if line.startswith("pitts30k ")]
    found = {line.split()[1]: line for line in lines}
    assert found["val"].endswith("at in pitts30k/")
    assert found["test"].endswith("-") and "10,000 / 6,816" in found["test"]


def test_a_dataset_shows_its_protocol(run: Run) -> None:
    code, out, _ = run("datasets", "show", "pitts30k")
    assert code == 0
    assert "positives within 25 m" in out and "10,000 database, 6,816 query" in out
    assert "citation" in out and "licence" in out
    code, out, _ = run("datasets", "show", "gsv-cities", "--json")
    assert json.loads(out)["rule"]["kind"] == "place"


def test_datasets_do_nothing_else(run: Run) -> None:
    code, _, err = run("datasets", "remove", "pitts30k")
    assert code == 2 and "datasets show NAME" in err


def test_a_dataset_is_scanned_by_name_and_again_after_a_repair(run: Run, tmp_path: Path) -> None:
    from miniatures import write_pitts

    write_pitts(tmp_path / "pitts30k")
    asked = ("scan", "--dataset", "pitts30k", "--root", tmp_path)
    code, _, err = run(*asked)
    assert code == 1
    assert "10 of 10000 database images" in err and "half unpacked" in err
    code, out, err = run(*asked, "--allow-partial")
    assert code == 0, err
    manifest = tmp_path / "pitts30k/captions/pitts30k-test.parquet"
    assert out.startswith(f"{manifest}: 20 images (10 database, 10 queries), positives within 25 m")
    next((tmp_path / "pitts30k/images/test/queries").iterdir()).unlink()
    _, out, _ = run(*asked, "--allow-partial")
    assert "19 images" in out


def test_a_manifest_of_another_rule_than_its_recipes_is_not_reused(
    run: Run, make_images: MakeImages, tmp_path: Path
) -> None:
    from vprcap.manifests.manifest import read_manifest

    make_images(["database/@1@2@.jpg", "queries/@1@2@.jpg"], folder="toy")
    recipe = tmp_path / "toy.toml"
    shipped = (Path(__file__).parents[1] / "manifests/eynsham.toml").read_text()
    head = shipped[: shipped.index("[positives]")].replace('"test"', '"all"')
    layout = '[[splits.all.layouts]]\nkind = "at"\nrequires = ["database"]\n'
    recipe.write_text(f"{head}[positives]\nradius_m = 25\n{layout}")
    asked = ("--dataset", recipe, "--root", tmp_path)
    assert run("caption", *asked, "--captioner", "fake")[0] == 0
    recipe.write_text(f"{head}[positives]\nradius_m = 10\n{layout}")
    code, _, err = run("caption", *asked, "--captioner", "fake")
    assert code == 1 and "has positives within 25 m, and the recipe now positives within 10" in err
    assert run("scan", *asked)[0] == 0
    assert run("caption", *asked, "--captioner", "fake")[0] == 0
    manifest = read_manifest(tmp_path / "toy/captions/toy-all.parquet")
    assert manifest.info.rule.radius_m == 10


def test_the_rule_of_ones_own_images_can_be_stated(run: Run, make_images: MakeImages) -> None:
    from vprcap.manifests.manifest import read_manifest
    from vprcap.manifests.rule import PositiveRule

    images = make_images(["a.jpg"])
    output = images.parent / "m.parquet"
    asked = ("scan", images, "--output", output, "--positives")
    code, _, err = run(*asked, "radius=10,heading=40")
    assert code == 0, err
    assert read_manifest(output).info.rule == PositiveRule(radius_m=10, heading_deg=40)
    code, _, err = run(*asked, "near")
    assert code == 1 and "rule 'near' is not understood" in err


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom vprcap.cli import main\nsys.argv = ['vprcap', '--help']\n"
        "try:\n    main()\nfinally:\n"
        "    heavy = {'torch', 'transformers', 'pyarrow', 'numpy', 'faiss'} & set(sys.modules)\n"
        "    print('heavy:', sorted(heavy), file=sys.stderr)\n"
    )
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        seconds.append(time.perf_counter() - begun)
    assert "heavy: []" in done.stderr
    assert min(seconds) < 0.5


def test_the_check_for_heavy_modules_can_fail() -> None:
    code = "import vprcap.manifests.manifest, sys; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True"


def test_a_folder_of_images_is_captioned_in_one_command(run: Run, make_images: MakeImages) -> None:
    images = make_images(["-a.jpg", "_b.jpg", "c d.jpg"])
    (images / "broken.jpg").write_bytes(b"<html>")
    code, out, err = run("caption", images, "--captioner", "fake")
    assert code == 0
    assert "4 images: 3 ok, 1 decode_error" in out
    assert "vprcap: broken.jpg: decode_error: not an image; fetch it again" in err
    code, out, _ = run("caption", images, "--captioner", "fake")
    assert code == 0 and "nothing to do: all 4 images have their rows" in out
    assert sorted(path.name for path in images.iterdir()) == sorted(
        ["-a.jpg", "_b.jpg", "c d.jpg", "broken.jpg", "captions"]
    )


def test_images_added_to_a_folder_are_reported_and_another_folder_is_told_apart(
    run: Run, make_images: MakeImages, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    images = make_images(["a.jpg", "b.jpg"])
    fake = ["--captioner", "fake", "--captions-root", tmp_path / "elsewhere"]
    assert run("caption", images, *fake)[0] == 0
    (images / "new.jpg").write_bytes((images / "a.jpg").read_bytes())
    code, out, _ = run("caption", images, *fake)
    assert code == 0 and "nothing to do: all 2 images" in out
    assert "1 images were added" in caplog.text and "new.jpg" in caplog.text
    code, _, err = run("caption", make_images(["c.jpg"], folder="other/images"), *fake)
    assert code == 1 and "is of images in" in err


def test_a_dry_run_writes_no_caption_set(run: Run, make_images: MakeImages) -> None:
    images = make_images(["a.jpg", "b.jpg"])
    code, out, _ = run("caption", images, "--captioner", "fake", "--dry-run")
    assert code == 0
    assert re.search(r"images left +2\n", out)
    assert not list((images / "captions").glob("*/config.json"))


def test_names_with_control_characters_are_escaped_on_display(
    run: Run, make_images: MakeImages
) -> None:
    images = make_images(["a.jpg"])
    (images / "\x1b[31mred.jpg").write_bytes(b"")
    _, _, err = run("caption", images, "--captioner", "fake")
    assert "\x1b" not in err and r"\x1b[31mred.jpg" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scan", "nowhere", "--output", "m.parquet"], "no folder nowhere"),
        (["shard", "nowhere.parquet"], "no manifest at nowhere.parquet; write one with"),
        (["caption", "nowhere.parquet"], "no manifest at nowhere.parquet"),
        (["caption"], "name either a MANIFEST"),
        (["caption", "--dataset", "pitts30k"], "where is pitts30k? Say --root"),
        (["caption", "--dataset", "nope", "--root", "."], "no recipe for dataset 'nope'"),
        (["caption", "--dataset", "pitts30k", "--root", "."], "no folder pitts30k; unpack"),
        (["train", "nowhere.parquet"], "no manifest at nowhere.parquet"),
        (["eval", "nowhere.parquet", "--run", "gone"], "no trained combiner in gone"),
        (["eval", "m.parquet", "--ablate", "gates", "--run", "gone"], "no trained combiner in"),
        (["eval", "m.parquet", "--ablate", "nothing"], "there are: gates, fusions, dims"),
        (["eval", "m.parquet", "--ablate", "gates", "--seeds", "0"], "0 seeds measure nothing"),
        (["eval", "m.parquet", "--corrupt", "typo"], "no corruption 'typo'; there are: none"),
        (["eval", "m.parquet", "--corrupt", "shuffle", "--seeds", "0"], "0 seeds measure"),
        (["eval", "m.parquet", "--corrupt", "shuffle", "--strength", "2"], "leaves 0..1"),
        (["eval", "m.parquet", "--corrupt", "other-prompt"], "name it with --other-captions"),
        (["eval", "m.parquet", "--strength", "0.5"], "belong to --corrupt KIND"),
        (["eval", "m.parquet", "--ablate", "dims", "--corrupt", "shuffle"], "say how much: --abl"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VPRCAP_DATA", raising=False)
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("vprcap: ") and message in err
    assert err.count("\n") == 1


def test_a_batch_size_is_a_number_or_auto(run: Run, make_images: MakeImages) -> None:
    images = make_images(["a.jpg", "b.jpg"])
    words = ("caption", images, "--captioner", "fake", "--batch-size")
    code, _, err = run(*words, "many")
    assert code == 2 and "many" in err
    code, _, err = run(*words[:3], "openai", "--batch-size", "auto", "--base-url", "http://[::1]:1")
    assert code == 1 and "--batch-size auto is not of openai" in err
    code, out, _ = run(*words, "auto")
    assert code == 0 and "2 images: 2 ok" in out


def test_defaults_are_those_of_the_stages() -> None:
    from vprcap.caption_job import BATCH_SIZE
    from vprcap.captioners import IMAGE_SIDE, MAX_NEW_TOKENS
    from vprcap.cli.captioning import caption_command
    from vprcap.cli.evaluation import eval_command
    from vprcap.cli.scanning import scan_command, shard_command
    from vprcap.cli.training import train_command
    from vprcap.images import MAX_MEGAPIXELS
    from vprcap.manifests.plan import SHARD_SIZE
    from vprcap.stages.train import DESCRIPTOR_DIM
    from vprcap.training import TrainConfig
    from vprcap.workflows.ablation import ablate
    from vprcap.workflows.material import IMAGE_ENCODER, TEXT_ENCODER

    def default(command: Callable[..., None], name: str) -> object:
        return inspect.signature(command).parameters[name].default

    assert default(shard_command, "shard_size") == SHARD_SIZE
    assert default(caption_command, "batch_size") == BATCH_SIZE
    assert default(caption_command, "max_new_tokens") == MAX_NEW_TOKENS
    assert default(caption_command, "image_side") == IMAGE_SIDE
    assert default(caption_command, "max_megapixels") == MAX_MEGAPIXELS
    assert default(scan_command, "max_megapixels") == MAX_MEGAPIXELS
    assert default(train_command, "descriptor_dim") == DESCRIPTOR_DIM
    assert (
        default(eval_command, "seeds") == inspect.signature(ablate).parameters["num_seeds"].default
    )
    assert default(train_command, "epochs") == TrainConfig.epochs
    assert default(train_command, "image_encoder") == IMAGE_ENCODER
    assert default(train_command, "text_encoder") == TEXT_ENCODER


def test_a_bug_of_ours_keeps_its_traceback(
    run: Run, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vprcap.stages.scan.build_manifest", lambda *_: 1 / 0)
    monkeypatch.setattr(
        sys, "argv", ["vprcap", "scan", str(make_images(["a.jpg"])), "--output", "m"]
    )
    with pytest.raises(ZeroDivisionError):
        main()
