"""A kind is one entry: each room has one table of kinds, and everything else is derived from it."""

import re
from pathlib import Path
from uuid import uuid4

from api import kinds as served
from domain.artifacts import kinds
from domain.events import EVENT_TYPES
from domain.keys import SCOPES
from projections.read import kinds as read

ROOMS = ("domain", "store", "projections", "api", "console", "workers", "cli")
ROOT = Path(__file__).parents[3]
TABLES = {"domain/artifacts/kinds.py", "projections/read/kinds.py", "api/kinds.py"}


def test_the_tables_of_all_rooms_have_the_same_kinds() -> None:
    aggregates = list(kinds.KINDS.values())
    assert [kind.aggregate for kind in read.KINDS.values()] == aggregates
    assert [kind.aggregate for kind in served.KINDS.values()] == aggregates
    assert list(read.KINDS) == list(kinds.KINDS) == [kind.KIND for kind in aggregates]
    assert list(served.KINDS) == [kind.RESOURCE for kind in aggregates]


def test_an_aggregate_says_all_that_its_kind_is() -> None:
    for kind in kinds.KINDS.values():
        assert {kind.TEXT, "name"} <= set(kind.COMPARED)
        state = kind(id=uuid4(), name="one")
        assert {field: state.compared(field) for field in kind.COMPARED}["name"] == "one"
        of_all = (kind.ARCHIVED, kind.RESTORED, kind.LABEL_SET, kind.LABEL_REMOVED)
        assert {f"{kind.SCOPE}:read", f"{kind.SCOPE}:write"} <= SCOPES.keys()
        assert {kinds.kind_of(event.TOPIC) for event in of_all} == {kind.KIND}


def test_every_event_is_of_a_kind_or_of_none() -> None:
    assert {kinds.kind_of(topic) for topic in EVENT_TYPES} == {None, *kinds.KINDS}


def test_no_other_module_knows_more_than_one_kind() -> None:
    """A module that takes from the modules of two kinds is another table of them."""
    names = [kind.__module__.rpartition(".")[2] for kind in kinds.KINDS.values()]
    imports = [re.compile(rf"^(?:from|import) [\w.]*\b{name}\b", re.MULTILINE) for name in names]
    found = set()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if sum(bool(one.search(path.read_text())) for one in imports) > 1:
                found.add(str(path.relative_to(ROOT)))
    assert found == TABLES
