"""The HTTP door: one controller per resource, and what all requests share."""
