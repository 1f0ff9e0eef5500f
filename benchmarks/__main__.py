"""``python -m benchmarks [--quick] [TABLE …]``: measure and print tables. Servers are its own; yours are left alone."""

import argparse
from collections.abc import Callable

import psycopg

from benchmarks import (
    beside_writer,
    cold,
    console,
    feed,
    get,
    mlflow_peer,
    overload,
    processes,
    publish,
    redis_cache,
    replay,
    replicas,
    scale,
    search,
    soak,
    start,
    storage,
    versions,
    years,
)
from benchmarks.plan import Plan
from benchmarks.report import Table, circumstances, markdown, show, wide_console
from benchmarks.stage import Stage, stage
from benchmarks.usage import Usage
from cli.settings import default_workers

TABLES: dict[str, Callable[[Stage, Plan], Table | list[Table]]] = {
    "publish": publish.run,
    "get": get.run,
    "beside_writer": beside_writer.run,
    "cold": cold.run,
    "redis_cache": redis_cache.run,
    "storage": storage.run,
    "start": start.run,
    "versions": versions.run,
    "feed": feed.run,
    "replay": replay.run,
    "scale": scale.run,
    "search": search.run,
    "console": console.run,
    "years": years.run,
    "processes": processes.run,
    "replicas": replicas.run,
    "overload": overload.run,
    "mlflow": mlflow_peer.run,
    "soak": soak.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure and print tables.")
    parser.add_argument("table", nargs="*", help=f"of {', '.join(TABLES)}; all when none is named")
    parser.add_argument(
        "--quick", action="store_true", help="two short rounds: shows that it works, not how fast"
    )
    parser.add_argument("--rounds", type=int, help="runs of each contender  [default: 5]")
    parser.add_argument("--seconds", type=float, help="length of a run  [default: 3]")
    parser.add_argument("--workers", type=int, default=default_workers(), help="API processes for publishes")
    parser.add_argument(
        "--minutes", type=float, help="length of the soak  [default: 2; a quarter when quick]"
    )
    parser.add_argument("--markdown", action="store_true", help="print tables for a Markdown page")
    given = parser.parse_args()
    if unknown := [name for name in given.table if name not in TABLES]:
        parser.error(f"there is no table {unknown[0]!r}; choose of {', '.join(TABLES)}")
    plan = Plan(
        rounds=given.rounds or (2 if given.quick else 5),
        warmup=0.3 if given.quick else 0.5,
        seconds=given.seconds or (0.7 if given.quick else 3.0),
        workers=given.workers,
        minutes=given.minutes or (0.25 if given.quick else 2.0),
    )
    screen = wide_console()
    tables: list[Table] = []
    with stage() as on:
        with psycopg.connect(on.database_url) as connection:
            postgres = f"{connection.info.server_version // 10000}.{connection.info.server_version % 10000}"
        for name in given.table or TABLES:
            before = Usage.now()
            found = TABLES[name](on, plan)
            made = [found] if isinstance(found, Table) else found
            made[-1].notes.append(before.since())
            tables += made
            if not given.markdown:
                for table in made:
                    show(table, screen)
    under = circumstances(postgres)
    under += f"; medians (spread) of {plan.rounds} rounds of {plan.seconds:g} s"
    print(f"{markdown(tables)}\n\n{under}" if given.markdown else under)


if __name__ == "__main__":
    main()
