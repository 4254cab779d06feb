"""What counts as the same place, and doubts about it."""
