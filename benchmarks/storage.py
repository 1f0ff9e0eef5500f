"""What a publish of a one-line edit adds to the database: skills with and without many large files."""

import random
import string

import httpx
import psycopg

from benchmarks import document
from benchmarks.document import line
from benchmarks.figures import show_most
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import Stage, client, cpu_seconds, service

FILES = 50
FILE_BYTES = 200_000
BODIES = (2_000, 20_000)
PUBLISHES = 500
SHORT = 200  # publishes of a quick run
MOST = 3.0  # times the body

# Tables with their indexes and TOAST, without the catalogs, which VACUUM FULL itself rewrites.
SIZE = """
SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'm') AND nspname NOT IN ('pg_catalog', 'information_schema')
"""
WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"


def run(on: Stage, plan: Plan) -> Table:
    """One API process. Bodies and files are random letters, which PostgreSQL's compression does not make smaller."""
    rounds, publishes = (plan.rounds, PUBLISHES) if plan.seconds >= 1 else (1, SHORT)
    table = Table(
        title=f"Storage: bytes that a publish of a one-line edit adds, over {publishes} publishes",
        head=("files", "body bytes", "added bytes", "times the body", "packed bytes", "packed, times the body",
              "WAL bytes", "API µs", "database µs"),
        notes=[
            f"Files of {FILE_BYTES // 1000} KB. Added: all tables, indexes and TOAST after VACUUM, from a size packed by VACUUM FULL.",
            "Packed: the same after VACUUM FULL. WAL: what was written to the log of PostgreSQL, its full pages too.",
        ],
    )  # fmt: skip
    with service(on, workers=1) as server, client(on, server) as http:
        for files in (0, FILES):
            for size in BODIES:
                added, packed, logged = [], [], []
                name = f"storage-{files}-{size}"
                # Another text each time: what is known already would be written once.
                text = random_text(size, seed=size + files)
                create(http, on.path, name, text, files)
                before = cpu_seconds(server.pid), cpu_seconds(on.postgres_pid)
                spent = [0.0, 0.0]
                for turn in range(rounds):
                    with psycopg.connect(on.database_url, autocommit=True) as conn:
                        conn.execute("VACUUM (FULL, ANALYZE)")
                        conn.execute("VACUUM")  # its maps are there from here on
                        conn.execute("CHECKPOINT")
                        start, log = number(conn, SIZE), number(conn, WAL)
                        before = cpu_seconds(server.pid), cpu_seconds(on.postgres_pid)
                        publish(http, on.path, name, turn * publishes + 1, publishes)
                        spent[0] += cpu_seconds(server.pid) - before[0]
                        spent[1] += cpu_seconds(on.postgres_pid) - before[1]
                        logged.append((number(conn, WAL) - log) / publishes)
                        conn.execute("VACUUM")
                        added.append((number(conn, SIZE) - start) / publishes)
                        conn.execute("VACUUM (FULL, ANALYZE)")
                        conn.execute("VACUUM")
                        packed.append((number(conn, SIZE) - start) / publishes)
                body = len(text.encode())
                table.add(
                    str(files),
                    f"{body:,}",
                    middle(added),
                    show_most([one / body for one in added], MOST),
                    middle(packed),
                    show_most([one / body for one in packed], MOST),
                    middle(logged),
                    *(f"{seconds / publishes / rounds * 1e6:,.0f}" for seconds in spent),
                )
    return table


def middle(values: list[float]) -> str:
    """Median and spread."""
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]:,.0f} ({ordered[0]:,.0f}–{ordered[-1]:,.0f})"


def number(conn: psycopg.Connection[tuple[int]], sql: str) -> int:
    row = conn.execute(sql).fetchone()
    assert row is not None
    return row[0]


def random_text(size: int, *, seed: int) -> str:
    """Lines of random letters, the first of which is the one that is edited."""
    letters = "".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=size))
    lines = [letters[start : start + 79] for start in range(0, size - 20, 80)]
    return "\n".join([line(1), *lines])


def create(http: httpx.Client, root: str, name: str, text: str, files: int) -> None:
    """A skill of that body and so many files."""
    given = [
        {"path": f"data/{index}.txt", "content": random_text(FILE_BYTES, seed=len(text) + index)}
        for index in range(files)
    ]
    body = {"name": name, "description": "A skill with files.", "body": text, "files": given}
    http.post(f"{root}/", json=body, timeout=120).raise_for_status()


def publish(http: httpx.Client, root: str, name: str, first: int, count: int) -> None:
    """``count`` versions after version ``first``, one after the other."""
    for version in range(first, first + count):
        change = document.edit(version)
        sent = {"base_version": version, "edits": [{"old": change.old, "new": change.new}]}
        http.patch(f"{root}/name/{name}", json=sent).raise_for_status()
