"""Reads of versions, counted in the process."""
