"""The audit as files: a spreadsheet executes nothing, a line is one JSON object, no other project is told."""

import csv
import io
from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec
import pytest

from domain.keys import KeyCreated
from projections.events import audit
from store.log.log import Recorded
from store.log.mapper import encode


def entry(request_id: str | None = "r1") -> audit.AuditEntry:
    event = KeyCreated(
        originator_id=UUID(int=5),
        originator_version=1,
        user_id=3,
        scopes=("llm_skill:read",),
        project_ids=(1, 2, 3),
    )
    recorded = Recorded(
        7, UUID(int=5), 1, event.TOPIC, encode(event), datetime(2026, 1, 1, tzinfo=UTC), None, 9, None, uuid4(),
        request_id,
    )  # fmt: skip
    return audit.entry(recorded, 2, None, None)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\uff1d1", "\n=1"])
def test_a_cell_that_looks_like_a_formula_is_text(text: str) -> None:
    line = audit.csv_lines([entry(text)]).decode()
    (cells,) = csv.reader(io.StringIO(line, newline=""))
    assert cells[7] == f"'{text}"


def test_other_cells_stay_as_they_are() -> None:
    header, cells = csv.reader(
        io.StringIO((audit.csv_header() + audit.csv_lines([entry('a,"b"')])).decode(), newline="")
    )
    row = dict(zip(header, cells, strict=True))
    assert row["position"] == "7"
    assert row["request_id"] == 'a,"b"'
    assert row["key_id"] == row["version"] == ""
    assert row["subject"] == f"key/{UUID(int=5)}"
    assert msgspec.json.decode(row["data"])["user_id"] == 3


def test_other_projects_of_a_key_are_not_told() -> None:
    assert entry().data["project_ids"] == [2]
    assert msgspec.json.decode(audit.ndjson([entry()]))["data"]["project_ids"] == [2]
