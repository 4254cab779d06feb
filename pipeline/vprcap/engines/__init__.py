"""Engines: they start workers where the machines are; what is true lies in the caption set."""
