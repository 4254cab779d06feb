import subprocess
import sys


def test_naming_the_fusions_loads_no_heavy_module() -> None:
    code = (
        "import sys, vprcap.late_fusion as fusions; fusions.LATE_FUSIONS; "
        "print(*{'torch', 'faiss', 'pytorch_metric_learning'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
