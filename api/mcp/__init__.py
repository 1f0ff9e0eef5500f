"""The Model Context Protocol endpoint."""
