"""The kinds of artifacts: aggregates with numbered versions, their commands and events."""
