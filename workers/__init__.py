"""Long-running followers of the log, each from its own checkpoint."""
