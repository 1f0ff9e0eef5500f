"""Who may move a label: policies."""
