"""An import from MLflow followed page after page for ever where a server gave a new token with each, and nothing else."""

from itertools import count
from typing import Any

import msgspec
import pytest

from cli.errors import Failure
from cli.importing import from_mlflow
from cli.importing.from_mlflow import MlflowSource


class Endless:
    """A server that always has one page more."""

    title = "MLflow at https://mlflow.test"

    def __init__(self, page: dict[str, Any], models: dict[str, Any]) -> None:
        self.page, self.models, self.tokens = page, models, count(1)

    def json(self, path: str, params: dict[str, Any], shape: Any) -> Any:
        if path.endswith("registered-models/search") and self.models:
            return msgspec.convert(self.models, shape)
        return msgspec.convert({**self.page, "next_page_token": str(next(self.tokens))}, shape)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_mlflow, "MAX_PAGES", 20)


def test_pages_without_prompts_end() -> None:
    server: Any = Endless({"registered_models": []}, {})
    with pytest.raises(Failure, match="more than 20 pages"):
        list(MlflowSource(server).artifacts())
    assert next(server.tokens) == 21


def test_pages_of_the_same_version_end() -> None:
    server: Any = Endless({"model_versions": [{"version": "1"}]}, {"registered_models": [{"name": "a"}]})
    [artifact] = MlflowSource(server).artifacts()
    with pytest.raises(Failure, match="more than 20 pages"):
        artifact.versions()
    assert next(server.tokens) == 21
