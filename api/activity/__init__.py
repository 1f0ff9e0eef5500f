"""How much is published, by whom and when."""
