"""The skills of a project as a git repository."""
