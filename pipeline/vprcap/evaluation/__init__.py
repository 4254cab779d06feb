"""Recall and its uncertainty; what it is compared with, and how it is shown."""
