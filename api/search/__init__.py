"""What is in the texts: names, descriptions, bodies, files and prompts."""
