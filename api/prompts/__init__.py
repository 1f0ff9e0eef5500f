"""The prompts API."""
