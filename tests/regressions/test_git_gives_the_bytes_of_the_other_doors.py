"""With ``core.autocrlf=true`` every file of a checkout changed, and a skill's own ``.gitattributes`` changed its files or
stopped everybody's checkout (``filter=lfs``)."""

import logging
from pathlib import Path

import psycopg
import pytest

from domain.artifacts.skills import File
from projections.git import check as git_check
from projections.git import history as git_history
from projections.rebuild.verify import verify
from store.log import archive
from store.log.appender import Appender
from store.postgres.pool import open_pool
from tests.support.gitting import Git, git
from tests.support.histories import commit_of, new_skill, published
from tests.support.space import file, skill

__all__ = ["git"]

TEXT = "one\ntwo\r\nthree\n"


@pytest.mark.parametrize("setting", ["core.autocrlf=true", "core.eol=crlf", "core.autocrlf=input"])
@pytest.mark.parametrize(
    "rule", ["* text eol=crlf", "* filter=lfs\n* ident", "*.txt working-tree-encoding=UTF-16"]
)
def test_whatever_is_set(git: Git, setting: str, rule: str) -> None:
    files = [
        file("a.txt", TEXT),
        file(".gitattributes", rule),
        file("b/.GitAttributes", rule),
        file("$Id$", "$Id$"),
    ]
    with git.service.client(git.key, git.project_id) as http:
        made = http.post("llm_skills/", json=skill("one", files=files))
        assert made.status_code == 201
        told = {one["path"]: one["code"] for one in made.json()["spec_problems"]}
        assert told.keys() >= {".gitattributes", "b/.GitAttributes"}
    git("config", "--global", "filter.lfs.smudge", "false")
    git("config", "--global", "filter.lfs.required", "true")
    folder = git.clone("checkout", "-c", setting)
    assert git.files(folder)["one/a.txt"] == TEXT.encode()
    assert sorted(git.files(folder)) == ["one/$Id$", "one/SKILL.md", "one/a.txt"]
    assert (folder / ".gitattributes").read_bytes() == b"* -text\n"
    assert git("status", "--porcelain", cwd=folder) == ""


async def heads(url: str) -> list[bytes]:
    pool = await open_pool(url, size=2)
    try:
        await git_history.bring_forward(pool, 1)
        async with pool.connection() as conn:
            rows = await (await conn.execute("SELECT oid FROM git_commits ORDER BY sequence")).fetchall()
            assert await git_check.differences(conn, 5) == ()
            return [row[0] for row in rows]
    finally:
        await pool.close()


async def test_commits_of_an_older_release_keep_their_ids(
    fresh_database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    appender = Appender(fresh_database_url)
    await appender.start()
    old, contents = new_skill("one", files=(File(".gitattributes", b"* eol=crlf"), File("a/b", b"x")))
    await appender.append(commit_of(old, contents))
    old, second = published(old)
    await appender.append(second)
    with psycopg.connect(fresh_database_url) as conn:
        conn.execute("UPDATE git_attributes SET since = 3")  # as the migration does, of a log of two events
    before = await heads(fresh_database_url)
    old, third = published(old, "# Third\n")
    await appender.append(third)
    await appender.close()
    with caplog.at_level(logging.WARNING):
        after = await heads(fresh_database_url)
    assert after[: len(before)] == before
    assert len(after) == 4
    assert "one/.gitattributes" in caplog.text
    assert (await verify(fresh_database_url)).sound
    # Made once more they are the same.
    with psycopg.connect(fresh_database_url) as conn:
        conn.execute(git_history.FORGET)
    assert await heads(fresh_database_url) == after
    # And the archive of the log says from where on.
    assert archive.export(fresh_database_url, tmp_path / "log.tar.gz").git_attributes_since == 3
