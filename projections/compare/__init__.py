"""Differences between versions, and the author of each line. Pure."""
