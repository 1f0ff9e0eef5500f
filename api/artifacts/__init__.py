"""What skills and prompts have in common over HTTP."""
