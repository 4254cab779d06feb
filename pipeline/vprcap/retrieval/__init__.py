"""Descriptors, indexes and search in blocks of bounded memory."""
