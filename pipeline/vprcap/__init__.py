"""Captions for visual place recognition: write, fuse, measure."""

__version__ = "0.1.0"
