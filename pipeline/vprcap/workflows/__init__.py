"""Workflows: plain functions that call stages one after the other."""
