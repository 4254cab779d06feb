"""`python -m vprcap.tiny_llava OUT`: train the tiny LLaVA from nothing."""

import argparse
from pathlib import Path

from vprcap.tiny_llava.train import train_tiny_llava

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="vprcap.tiny_llava", description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the checkpoint")
    print(train_tiny_llava(parser.parse_args().out))
