"""The event log: appending, reading, carrying it elsewhere."""
