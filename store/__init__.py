"""The event log: its schema, how commits are appended to it, and how streams are read back."""
