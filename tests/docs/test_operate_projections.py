"""docs/operate.md lists the projections as they are declared."""

from pathlib import Path

from projections.declared import PROJECTIONS, InlineProjection

PAGE = Path(__file__).parents[2] / "docs" / "operate.md"
HEAD = "| projection | lane | tables | what they say |\n|---|---|---|---|\n"


def test_every_projection_has_its_row() -> None:
    expected = HEAD
    for one in PROJECTIONS:
        lane = "inline" if isinstance(one, InlineProjection) else "async"
        tables = ", ".join(f"`{table}`" for table in one.tables)
        expected += f"| `{one.name}` | {lane} | {tables} | {one.about} |\n"
    _, found, rest = PAGE.read_text().partition(HEAD)
    assert (found + rest).startswith(expected)
    assert not rest[len(expected) - len(HEAD) :].startswith("|")
