"""What requests share is a field of Services, what belongs to one is a field of its record or context: no string finds them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.kinds import KINDS, Kind

ROOT = Path(__file__).parents[3]
SOURCES = [*ROOT.glob("api/**/*.py"), *ROOT.glob("workers/**/*.py"), *ROOT.glob("cli/**/*.py")]


def untyped(source: str) -> Iterator[int]:
    """The lines that look into the state of an application, or of a scope by a literal."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr == "state":
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if name.lstrip("_") == "app":
                yield node.lineno
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.slice, ast.Constant)
            and ast.unparse(node.value).endswith("scope['state']")
        ):
            yield node.lineno


def test_what_it_looks_for_is_found() -> None:
    assert list(untyped("request.app.state.pool")) == [1]
    assert list(untyped("self._app.state")) == [1]
    assert list(untyped("request.scope['state']['principal']")) == [1]
    assert not list(untyped("scope['state'][RECORD], self.state, event.state"))


def test_no_state_is_found_by_a_string() -> None:
    found = {str(file.relative_to(ROOT)): list(untyped(file.read_text())) for file in SOURCES}
    assert len(found) > 100
    assert not {file: lines for file, lines in found.items() if lines}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_controller_of_a_kind_publishes_by_the_function_of_its_entry(kind: Kind) -> None:
    [handler] = [found for one in kind.controllers if (found := getattr(one, "publish", None)) is not None]
    assert kind.publish.__name__ in handler.fn.__code__.co_names
    assert handler.fn.__globals__[kind.publish.__name__] is kind.publish
