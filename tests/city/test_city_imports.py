import subprocess
import sys

CHECK = "import sys, {module}; print([m for m in ('torch', 'transformers') if m in sys.modules])"


def heavy_modules(module: str) -> str:
    command = [sys.executable, "-c", CHECK.format(module=module)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_city_needs_no_model_library() -> None:
    assert heavy_modules("vprcap.city") == "[]"


def test_the_path_of_the_checkpoint_needs_no_model_library() -> None:
    assert heavy_modules("vprcap.tiny_llava") == "[]"


def test_the_check_sees_a_heavy_import() -> None:
    assert heavy_modules("torch") == "['torch']"
