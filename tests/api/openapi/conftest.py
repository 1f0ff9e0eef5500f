"""Each operation is a test of its own."""

import pytest
from _pytest.nodeid import NodeId
from schemathesis.pytest.plugin import SchemathesisFunction


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give it an id of its own: pytest takes those of Schemathesis for one test, whose last run is its outcome."""
    if isinstance(item, SchemathesisFunction) and item.parent is not None:
        item._id = NodeId.parse(f"{item.parent.nodeid}::{item.name}")
