"""Pure rules of skills and prompts: what a command may do and which events it emits. No I/O, no clock, no randomness."""
