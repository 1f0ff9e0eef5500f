"""What a publish sends to the database."""

from collections.abc import Sequence
from typing import Any

import pytest

from store.log import appender, log
from store.log.log import Appended, Commit, append
from store.postgres.pipeline import execute_pipeline
from tests.support.space import Space, file


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of contents of each commit from here on."""
    counts: list[int] = []

    async def counted(conn: Any, commits: Sequence[Commit], **options: Any) -> list[Appended]:
        counts.extend(len(commit.contents) for commit in commits)
        return await append(conn, commits, **options)

    monkeypatch.setattr(appender, "append", counted)
    return counts


async def test_a_publish_is_two_statements(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    await space.create(body="# A\n\nx\n")
    flushed: list[list[str]] = []

    async def recorded(conn: Any, batch: Sequence[Any], *rest: Any) -> Any:
        flushed.append([sql for sql, _ in batch])
        return await execute_pipeline(conn, batch, *rest)

    monkeypatch.setattr(log, "execute_pipeline", recorded)
    await space.publish("pdf-forms", 1, edits=[{"old": "x", "new": "y"}])

    # The contents; the lock, the event and the version, as one and as the latest. Appends that follow each other within
    # MIN_NOTIFY_INTERVAL share a notification, which then goes out by itself.
    [append] = [batch for batch in flushed if batch != [log.NOTIFY_HEAD]]
    assert len(append) == 2


async def test_what_the_version_before_has_is_not_sent_again(space: Space, sent: list[int]) -> None:
    text, files = "# A\n\nx\n", [file("a.txt", "a")]
    await space.create(body=text, files=files)
    # The body and its outline, the file and the manifest, the details and the package.
    assert sent == [6]

    changed = await space.publish("pdf-forms", 1, edits=[{"old": "x", "new": "y"}])
    # The outline, the manifest and the details are as they were.
    assert sent == [6, 2]

    again = await space.publish("pdf-forms", 2, body=text, files=files)
    assert await space.show() == again
    older = {"is_latest": False, "latest_version": 3, "version_count": 3}
    assert await space.show(version=2) == {**changed, **older}
    assert (await space.get("name/pdf-forms/files/a.txt")).json()["content"] == "a"
