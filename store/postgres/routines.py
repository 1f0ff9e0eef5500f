"""Several statements as one call: all their parameters have come to the server before the first of them begins.

In a pipeline each statement is sent with its own parameters, so a lock that the first one takes is held while the others
cross the network. A call is one message. What it calls are functions of the connection's temporary schema, made when the
connection needs them first: the statements stand in one place, in Python, and a release brings its own.
"""

from collections.abc import Sequence
from typing import Any

from psycopg.pq import TransactionStatus

from store.postgres.connection import Connection
from store.postgres.pipeline import PLACEHOLDER


class Routine:
    """A function of PL/pgSQL. Each statement of its body has a snapshot of its own, as it would have in a pipeline.

    ``body`` has placeholders that name their types, as with ``store.postgres.pipeline``; ``out`` are what it returns, as
    "name type", which the body sets; without them it returns nothing.
    """

    _count = 0

    def __init__(self, body: str, *, out: Sequence[str] = ()) -> None:
        Routine._count += 1
        self.name = f"pg_temp.skald_{Routine._count}"
        types = [kind + array for kind, array in PLACEHOLDER.findall(body)]
        numbers = iter(range(1, len(types) + 1))
        body = PLACEHOLDER.sub(lambda found: f"${next(numbers)}", body)
        arguments = ", ".join([*types, *(f"OUT {value}" for value in out)])
        returns = "" if out else "RETURNS void"
        self.definition = (
            f"CREATE OR REPLACE FUNCTION {self.name}({arguments}) {returns} LANGUAGE plpgsql AS "
            f"$routine$ BEGIN {body}; END $routine$"
        )
        self.call = f"{self.name}({', '.join(f'%s::{kind}' for kind in types)})"


Call = tuple[Routine, Sequence[Any]]

_routines: dict[str, Routine] = {}


def routine_of(sql: str) -> Routine:
    """The routine that runs one statement; what a query returns is dropped."""
    routine = _routines.get(sql)
    if routine is None:
        query = sql.lstrip()
        body = f"PERFORM {query.removeprefix('SELECT')}" if query.startswith("SELECT") else query
        routine = _routines[sql] = Routine(body)
    return routine


async def together(conn: Connection, calls: Sequence[Call]) -> tuple[str, list[Any]]:
    """One statement for a pipeline that makes these calls from left to right, and its parameters.

    ``conn`` gets the routines that it does not have yet. Its result is one row with a column a call.
    """
    missing = [routine for routine, _ in calls if routine.name not in conn.routines]
    for routine in missing:
        await conn.execute(routine.definition.encode(), prepare=False)
    # What is made in a transaction goes with it when it is rolled back.
    if missing and conn.info.transaction_status == TransactionStatus.IDLE:
        conn.routines.update(routine.name for routine in missing)
    sql = "SELECT " + ", ".join(routine.call for routine, _ in calls)
    return sql, [value for _, values in calls for value in values]
