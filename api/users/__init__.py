"""The key's own user: what is shown of it, and the start page that clients keep."""
