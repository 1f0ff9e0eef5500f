"""Which versions are yanked, now and at any position of the log: the table ``yanks``; and which version is the latest by it."""

from uuid import UUID

from domain.artifacts.yanks import VersionUnyanked, VersionYanked
from store.log.statements import Row, SetStatement, arrays

# versions_pkey, artifacts_pkey. After all versions and renames of the batch, so that the version is there as it is shown.
LATEST = SetStatement(
    "artifacts.latest",
    54,
    f"""
    UPDATE artifacts SET latest_version = versions.number, latest_id = versions.id, latest_at = versions.created_at,
                         latest_by = versions.created_by, body = versions.body, details = versions.details,
                         outline = versions.outline, package = versions.package,
                         has_problems = versions.has_problems
    FROM {arrays("stream_id uuid, number int")} AS new
    JOIN versions ON versions.stream_id = new.stream_id AND versions.number = new.number
    WHERE artifacts.stream_id = new.stream_id
    """,
)

# yanks_pkey
ENDED = SetStatement(
    "yanks.end",
    95,
    f"""
    UPDATE yanks SET until_position = position
    FROM {arrays("stream_id uuid, number int, stream_version int")} AS new
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    WHERE yanks.stream_id = new.stream_id AND yanks.number = new.number AND yanks.until_position IS NULL
    """,
)

BEGUN = SetStatement(
    "yanks.begin",
    96,
    f"""
    INSERT INTO yanks (stream_id, number, since_position, until_position, yanked_at, yanked_by, reason)
    SELECT new.stream_id, number, since.position, until.position, since.recorded_at, yanked_by, reason
    FROM {
        arrays(
            "stream_id uuid, number int, since_version int, until_version int, yanked_by bigint, reason text"
        )
    } AS new
    JOIN events AS since ON since.stream_id = new.stream_id AND since.stream_version = new.since_version
    LEFT JOIN events AS until ON until.stream_id = new.stream_id AND until.stream_version = new.until_version
    """,
)

STATEMENTS = (LATEST, ENDED, BEGUN)


class Yanks:
    """The rows that yanks of a batch bring, and their ends: in their own rows where they begin in the batch as well."""

    def __init__(self) -> None:
        self._ended: list[Row] = []
        self._begun: list[Row] = []
        self._open: dict[tuple[UUID, int], int] = {}

    def follow(self, event: VersionYanked | VersionUnyanked, actor_id: int | None) -> None:
        key, version = (event.originator_id, event.number), event.originator_version
        if isinstance(event, VersionYanked):
            self._open[key] = len(self._begun)
            self._begun.append((*key, version, None, actor_id, event.reason))
        elif (place := self._open.pop(key, None)) is not None:
            *first, _, by, reason = self._begun[place]
            self._begun[place] = (*first, version, by, reason)
        else:
            self._ended.append((*key, version))

    def rows(self) -> dict[SetStatement, list[Row]]:
        return {ENDED: self._ended, BEGUN: self._begun}
