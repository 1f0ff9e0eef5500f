"""The HTTP API: one controller per resource, and what all requests share."""
