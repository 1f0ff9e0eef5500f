"""The read models once more from the log, and the proof that both are equal."""
