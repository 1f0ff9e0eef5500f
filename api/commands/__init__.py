"""How a command is executed: load, decide, append."""
