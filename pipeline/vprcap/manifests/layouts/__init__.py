"""Readers of the layouts that datasets come in; each returns manifest columns, moving nothing."""
