"""Fixtures for the whole suite; the real servers are in ``tests/servers.py``."""

pytest_plugins = ["tests.servers"]
