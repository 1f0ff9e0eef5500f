"""`skald serve`: the service as one process with children."""
