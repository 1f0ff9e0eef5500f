"""How PostgreSQL executes a statement of the service."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import psycopg
from psycopg.sql import SQL, Identifier
from psycopg.sql import Literal as Value

Mode = Literal["force_custom_plan", "force_generic_plan"]
# A prepared statement is planned for its values at first, and for any when that is not dearer.
MODES: tuple[Mode, ...] = ("force_custom_plan", "force_generic_plan")

Plan = dict[str, Any]


def explain(database_url: str, sql: str, values: Any, mode: Mode) -> Plan:
    """The root of the plan of a prepared statement, after one execution.

    Prepared it must be, as in the service: the plan of an EXPLAIN with values beside it is always one for these values.
    """
    if isinstance(values, Mapping):
        given = [values[name] for name in dict.fromkeys(re.findall(r"%\((\w+)\)[sbt]", sql))]
    else:
        given = list(values)
    arguments = SQL("({})").format(SQL(", ").join(map(Value, given))) if given else SQL("")
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(SQL("SET plan_cache_mode = {}").format(Value(mode)))
        conn.execute(sql.encode(), values, prepare=True)
        [(name,)] = conn.execute("SELECT name FROM pg_prepared_statements").fetchall()
        query = SQL("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE {} {}")
        [(found,)] = conn.execute(query.format(Identifier(name), arguments)).fetchall()
    plan: Plan = found[0]["Plan"]
    return plan


def nodes(plan: Plan) -> Iterator[Plan]:
    """A plan's node and all below it."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)
