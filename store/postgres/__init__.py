"""Connections to PostgreSQL, and several statements at once on one of them."""
