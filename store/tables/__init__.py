"""Plain tables beside the log: people, projects, keys, shares, webhooks."""
