"""Regressions of the API use its fixtures."""

from tests.api.conftest import (
    api_config,
    app,
    conn,
    new_space,
    prompts,
    pytest_collection_modifyitems,
    space,
)

__all__ = ["api_config", "app", "conn", "new_space", "prompts", "pytest_collection_modifyitems", "space"]
