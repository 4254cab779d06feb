"""Run the command line as ``python -m vprcap``."""

from vprcap.cli import main

main()
