"""A failure of one operation was forgotten by the run for what failed, when another operation passed behind it."""

import pytest


def test_each_operation_has_an_id_of_its_own(request: pytest.FixtureRequest) -> None:
    ids = [item.nodeid for item in request.session.items]
    assert len(ids) == len(set(ids))
