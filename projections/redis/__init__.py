"""What Redis holds: the shared cache and the streams."""
