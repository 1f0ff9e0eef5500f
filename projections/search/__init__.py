"""The search: what is sought, what is found of it, and where it stands in a text."""
