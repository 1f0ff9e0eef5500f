"""Texts of others as HTML: Markdown, source, and what differs between two."""
