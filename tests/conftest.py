"""Fixtures for the whole suite: real servers (``tests/servers.py``) and the API over sockets (``tests/service.py``)."""

pytest_plugins = ["tests.servers", "tests.service"]
