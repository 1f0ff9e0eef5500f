"""How fast the service is, against floors and peers measured in the same run: ``python -m benchmarks``."""
