"""What serves the process: observability, admission, health, shutdown."""
