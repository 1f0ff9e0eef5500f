"""Fixtures for the whole suite, and a limit for each test (``tests/support/``: ``servers.py``, ``service.py``, ``limits.py``)."""

pytest_plugins = ["tests.support.limits", "tests.support.servers", "tests.support.service"]
