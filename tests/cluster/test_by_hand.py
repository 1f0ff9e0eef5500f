"""docs/several-hosts.md, "By hand": the standby is promoted, and the old primary comes back as its standby."""

import os
import re
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from cli.embedded.postgres import DATABASE, ROLE
from cli.process.child import Child
from tests.support.cluster import REPLICATION, with_standby
from tests.support.servers import ROOT, StartServers, eventually

SECTION = (
    (ROOT / "docs" / "several-hosts.md").read_text().partition("\n## By hand\n")[2].partition("\n## ")[0]
)
BLOCKS = dict(re.findall(r"^```(ini|sql|sh)\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL))


def test_the_old_primary_comes_back_by_the_lines_of_the_page(
    private_servers: StartServers, tmp_path: Path
) -> None:
    # Without the standby's name: this copy lags, so that there is something to rewind.
    settings = dict(re.findall(r"^(wal_\w+) = (\w+)$", BLOCKS["ini"], re.MULTILINE))
    primary = private_servers(cache=False, settings={**REPLICATION, **settings}).postgres
    assert primary is not None
    # Settings of the command line are unknown to the recovery that `pg_rewind` runs.
    with (primary.cluster / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = {value}\n" for name, value in settings.items())
    with with_standby(primary) as pair:
        pair.cut()
        with psycopg.connect(primary.url, autocommit=True) as conn:
            # What the standby never got.
            conn.execute("CREATE TABLE lost ()")
        primary.kill()
        with psycopg.connect(pair.standby.url, autocommit=True) as conn:
            for statement in BLOCKS["sql"].split(";"):
                if statement.strip():
                    conn.execute(statement.encode())
            conn.execute("CREATE TABLE found ()")
        source = make_conninfo(host=str(pair.standby.sockets), user=ROLE, dbname=DATABASE)
        line = re.sub(r"--source-server='[^']*'", f"--source-server='{source}'", BLOCKS["sh"])
        with (tmp_path / "log").open("wb") as output:
            rewinding = Child(
                "pg_rewind",
                ["/bin/sh", "-ec", line],
                env={
                    "PATH": f"{primary.binaries}:{os.defpath}",
                    "PGDATA": str(primary.cluster),
                    "LC_ALL": "C",
                },
                user=primary.user,
                output=output,
                cwd=Path("/"),
            )
        assert rewinding.wait(60)
        assert rewinding.exit_code() == 0, (tmp_path / "log").read_text()
        primary.start()
        with psycopg.connect(primary.url, autocommit=True) as conn:
            tables = "SELECT array_agg(relname::text) FROM pg_class WHERE relname IN ('lost', 'found')"
            eventually(lambda: conn.execute(tables).fetchone() == (["found"],), "it follows", timeout=30)
            assert conn.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
