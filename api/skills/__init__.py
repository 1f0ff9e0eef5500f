"""The skills API."""
