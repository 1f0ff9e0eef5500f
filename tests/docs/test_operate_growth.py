"""docs/operate.md says of every table what adds rows and what ends them."""

import re
from pathlib import Path

import psycopg

PAGE = Path(__file__).parents[2] / "docs" / "operate.md"
HEAD = "| tables | a row for | ends |\n|---|---|---|\n"
TABLES = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"


def test_every_table_has_its_row_once(fresh_database_url: str) -> None:
    with psycopg.connect(fresh_database_url) as conn:
        tables = {name for (name,) in conn.execute(TABLES)}
    rows = PAGE.read_text().partition(HEAD)[2].partition("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert all(len(row) == 3 and all(row) for row in cells)
    listed = [name for row in cells for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(listed) == sorted(tables)
