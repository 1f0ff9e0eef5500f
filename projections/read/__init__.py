"""Queries over the read models, now and at any position, and the JSON that answers them."""
