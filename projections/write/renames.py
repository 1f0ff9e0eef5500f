"""What a rename writes beside the names: the artifact under its new one, and the package of its latest version.

A folder must have the name that SKILL.md says, so the latest version is rendered anew. What it was rendered as before is kept in
``earlier_packages``, for reads of the past and for commits.
"""

from projections.encoding import RENDERING
from store.log.statements import SetStatement, arrays

# versions_pkey
RENDERED = SetStatement(
    "versions.render",
    51,
    f"""
    UPDATE versions SET package = new.package, has_problems = new.has_problems, rendering = {RENDERING}
    FROM {arrays("stream_id uuid, number int, package bytea, has_problems bool")} AS new
    WHERE versions.stream_id = new.stream_id AND versions.number = new.number
    """,
)

# artifacts_pkey, versions_pkey. After all versions of the batch, so that the latest of them is there.
RENAMED = SetStatement(
    "artifacts.rename",
    52,
    f"""
    UPDATE artifacts SET name = new.name, package = versions.package, has_problems = versions.has_problems
    FROM {arrays("stream_id uuid, name text")} AS new
    JOIN versions ON versions.stream_id = new.stream_id
    WHERE artifacts.stream_id = new.stream_id AND versions.number = artifacts.latest_version
    """,
)

KEPT = SetStatement(
    "earlier_packages.keep",
    53,
    f"""
    INSERT INTO earlier_packages (stream_id, number, until_position, package)
    SELECT new.stream_id, number, position, package
    FROM {arrays("stream_id uuid, stream_version int, number int, package bytea")} AS new
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    """,
)
