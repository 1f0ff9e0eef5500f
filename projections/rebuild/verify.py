"""Is the database what the log says? Every check reads only, and may run while the service writes."""

from collections.abc import Awaitable, Sequence

import msgspec
import psycopg

from domain.maintenance import LogRewound
from projections.git import check as git_check
from projections.rebuild.rebuild import Difference, Progress, RebuildRunning, Report, rebuild
from store.postgres.connection import Connection
from store.postgres.pool import connect

SAMPLE = 5  # examples of each finding

# One pass in order of position; times never run backwards. A history begins somewhere above the one before it.
GAPS = f"""
SELECT position FROM (
    SELECT position, topic, recorded_at, lag(position, 1, 0::bigint) OVER steps AS before, lag(recorded_at) OVER steps AS earlier
    FROM events WINDOW steps AS (ORDER BY position)
) AS step
WHERE position <> before + 1 AND topic <> '{LogRewound.TOPIC}' OR recorded_at < earlier LIMIT %s
"""

STREAMS = """
SELECT stream_id::text || ' ' || stream_version FROM (
    SELECT stream_id, stream_version, row_number() OVER (PARTITION BY stream_id ORDER BY position) AS place FROM events
) AS numbered
WHERE stream_version <> place LIMIT %s
"""

CHANGED_CONTENTS = "SELECT encode(digest, 'hex') FROM contents WHERE digest <> sha256(bytes) LIMIT %s"

# What versions show, and the files that their manifests name.
LOST_CONTENTS = """
SELECT DISTINCT encode(named.digest, 'hex') FROM (
    SELECT unnest(ARRAY[body, details, outline, manifest, package]) AS digest FROM versions
    UNION
    SELECT package FROM earlier_packages
    UNION
    SELECT decode(file ->> 'sha256', 'hex') FROM (SELECT DISTINCT manifest FROM versions WHERE manifest IS NOT NULL) AS held
    JOIN contents ON contents.digest = held.manifest
    -- One that is no longer what its digest says is found by the check above, and may be no JSON.
    CROSS JOIN LATERAL jsonb_array_elements(
        CASE WHEN digest = sha256(bytes) THEN convert_from(bytes, 'UTF8')::jsonb ELSE '[]' END) AS file
) AS named
WHERE named.digest IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM contents WHERE contents.digest = named.digest) LIMIT %s
"""

PARKED = "SELECT follower || ' ' || position || ': ' || error FROM dead_letters ORDER BY position LIMIT %s"

# Where the log went back, and what was given that is gone, as far as the process knew that found it.
WENT_BACK = f"""
SELECT format('the log %%s at %%s; %%s', CASE WHEN known > shared THEN 'went back to position ' || shared
              ELSE 'may have gone back to position ' || shared END, to_char(recorded_at, 'YYYY-MM-DD HH24:MI:SS TZ'),
              CASE WHEN known > shared THEN format(
                  'readers may have seen positions %%s to %%s or later, which are gone (its history begins at %%s)',
                  shared + 1, known, position)
              ELSE format('nothing is known to be lost (its history begins at %%s)', position) END)
FROM (SELECT position, recorded_at, (state ->> 'shared')::bigint AS shared, (state ->> 'known')::bigint AS known
      FROM (SELECT position, recorded_at, convert_from(state, 'UTF8')::jsonb AS state
            FROM events JOIN histories ON begins = position WHERE topic = '{LogRewound.TOPIC}') AS marks) AS histories
ORDER BY position DESC LIMIT %s
"""

# Files of old versions that today's rules refuse (see domain.content.is_unsafe).
LEFT_OUT = """
SELECT artifacts.name || ' version ' || number || ' has files that are left out of every answer; publish it without them'
FROM versions
JOIN artifacts USING (stream_id)
JOIN contents ON contents.digest = versions.package
WHERE position('"code":"left_out_path"'::bytea IN contents.bytes) > 0
ORDER BY versions.position DESC LIMIT %s
"""

CHECKS = {
    "positions without gaps, times in order": GAPS,
    "streams contiguous": STREAMS,
    "contents are what their digests say": CHANGED_CONTENTS,
    "every content that is named is stored": LOST_CONTENTS,
    "no event parked by a follower": PARKED,
}


class Check(msgspec.Struct, frozen=True):
    """One property, and examples of where it does not hold (none: it holds)."""

    name: str
    findings: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.findings


class Verdict(msgspec.Struct, frozen=True):
    """All checks, and how far the log went when the read models were compared with it."""

    position: int
    events: int
    streams: int
    checks: tuple[Check, ...]
    # What is as it should be, and worth to know.
    notes: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        return all(check.holds for check in self.checks)


async def verify(dsn: str, *, progress: Progress | None = None) -> Verdict:
    """Check everything; what a check cannot get through is its finding.

    Raises RebuildRunning, and psycopg's errors when the database is away or the role may not look.
    """
    conn = await connect(dsn, application_name="skald-verify")
    async with conn:
        checks = [Check(name, await _told(_findings(conn, sql))) for name, sql in CHECKS.items()]
        notes = (*await _told(_findings(conn, LEFT_OUT)), *await _told(_findings(conn, WENT_BACK)))
        checks.append(
            Check("commits of git are what the log gives", await _told(git_check.differences(conn, SAMPLE)))
        )
    report = Report(0, 0, 0, (), ())

    async def compare() -> tuple[str, ...]:
        nonlocal report
        report = await rebuild(dsn, progress=progress)
        return _sentences(report.differences)

    checks += [
        Check("read models are the fold of the log", await _told(compare())),
        Check("every event can be folded", _some(report.damages)),
        Check("rendered parts are stored", report.missing_parts[:SAMPLE]),
    ]
    return Verdict(report.position, report.events, report.streams, tuple(checks), notes)


async def _told(findings: Awaitable[tuple[str, ...]]) -> tuple[str, ...]:
    """The findings of a check; that it cannot be made is one, too."""
    try:
        return await findings
    except (psycopg.OperationalError, psycopg.ProgrammingError, RebuildRunning):
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        return (f"not checked: {reason}",)


async def _findings(conn: Connection, sql: str) -> tuple[str, ...]:
    rows = await (await conn.execute(sql.encode(), (SAMPLE,))).fetchall()
    return tuple(str(row[0]) for row in rows)


def _some(found: Sequence[str]) -> tuple[str, ...]:
    more = (f"and {len(found) - SAMPLE} more",) if len(found) > SAMPLE else ()
    return (*found[:SAMPLE], *more)


def _sentences(differences: Sequence[Difference]) -> tuple[str, ...]:
    return tuple(
        f"{found.table}: {found.only_live} rows that the log does not give, {found.only_rebuilt} rows lack"
        f" {' '.join((*found.live, *found.rebuilt))[:300]}"
        for found in differences
    )
