"""What is read, by whom and how often."""
