"""Caption sets on disk, and what they are up to."""
