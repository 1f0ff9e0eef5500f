"""What requests share is a field of Services, what belongs to one is a field of its record or context: no string finds them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.http import state
from api.kinds import KINDS, Kind

ROOT = Path(__file__).parents[3]
SOURCES = [*ROOT.glob("api/**/*.py"), *ROOT.glob("workers/**/*.py"), *ROOT.glob("cli/**/*.py")]
# How the state of a scope is written.
STATES = (
    "scope['state']",
    "self.scope['state']",
    "request.scope['state']",
    "ctx.request.scope['state']",
    "connection.scope['state']",
    "state",
)


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


def keys(source: str) -> Iterator[str]:
    """The names by which something is put into the state of a scope, or taken from it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in STATES:
            yield ast.unparse(node.slice)
        if isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]) in STATES:
            yield ast.unparse(node.left)


def test_the_keys_of_the_state_of_a_scope_stand_in_one_place() -> None:
    known = {name for name in vars(state) if name.isupper()}
    used = {file: set(keys(file.read_text())) for file in ROOT.glob("api/**/*.py")}
    assert set().union(*used.values()) <= known
    for file, names in used.items():
        tree = ast.parse(file.read_text())
        imported = [
            node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "api.http.state"
        ]
        assert names <= {each.name for node in imported for each in node.names}, file


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
