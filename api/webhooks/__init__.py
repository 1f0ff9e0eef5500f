"""The webhooks API."""
