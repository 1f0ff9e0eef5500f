"""Fixtures for the whole suite: real servers (``tests/support/servers.py``) and the API over sockets (``tests/support/service.py``)."""

pytest_plugins = ["tests.support.servers", "tests.support.service"]
