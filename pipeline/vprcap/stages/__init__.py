"""Stages: each turns artefacts on disk into the next one; paths in, a path out."""
