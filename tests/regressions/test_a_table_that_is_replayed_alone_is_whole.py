"""`skald replay --projection artifacts` left out the statements that are named after another table, and so put tables without
every later version in the place of right ones."""

import pytest

from projections.declared import PROJECTIONS, TABLES
from projections.rebuild.rebuild import replay, tables_of
from projections.rebuild.verify import verify
from tests.integration.projections.rebuild.test_rebuild import write
from tests.support import invariants


@pytest.mark.parametrize("name", ["artifacts", "versions", "catalog", "activity"])
async def test_it_is_equal_and_stays_so(fresh_database_url: str, name: str) -> None:
    await write(fresh_database_url, 21, 60)
    assert (await replay(fresh_database_url, only=name)).differences == ()
    assert (await verify(fresh_database_url)).sound
    invariants.check(fresh_database_url)


def test_a_name_is_that_of_a_table_or_of_a_projection() -> None:
    assert {table: tables_of(table) for table in TABLES} == {table: (table,) for table in TABLES}
    for projection in PROJECTIONS:
        assert tables_of(projection.name) == projection.tables
