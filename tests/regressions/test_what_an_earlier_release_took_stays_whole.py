"""Limits are for what comes in: events from before them, far above each, still fold, render, revert, duplicate and verify."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio

from domain.artifacts import skills, versioned
from domain.artifacts.prompts import Prompt
from domain.artifacts.skills import File, Skill
from domain.content import Content
from projections.rebuild.rebuild import replay
from projections.rebuild.verify import verify
from store.log.appender import Appender
from store.log.log import Commit
from tests.support import invariants
from tests.support.histories import commit_of, new_skill, published
from tests.support.space import NewSpace, Space

TOOLS = tuple(f"Bash(tool-{number}:*)" for number in range(10_000))
METADATA = {f"key-{number}": "x" * 50 for number in range(5_000)}
FILES = (File(".git/x", b"bad"), File("SKILL.md/x", b"bad"), *(File(f"{n:03}.txt", b"x") for n in range(250)))
LABELS = [f"label-{number}" for number in range(300)]
SCOPES = ("llm_skill:write", "llm_prompt:write", "event:read")


@pytest_asyncio.fixture(loop_scope="session")
async def project(new_space: NewSpace) -> Space:
    return await new_space(scopes=SCOPES)


def old_skill(monkeypatch: pytest.MonkeyPatch) -> tuple[Skill, list[Content]]:
    with monkeypatch.context() as before:
        before.setattr(skills, "MAX_HEADINGS", 20_000)
        return new_skill("old", allowed_tools=TOOLS, metadata=METADATA, files=FILES, body="# H\n" * 20_000)


def old_prompt(monkeypatch: pytest.MonkeyPatch, **envelope: Any) -> tuple[list[Commit], Prompt]:
    """A prompt with more labels than one may have, and the commits that led to it."""
    prompt, contents = Prompt.create(id=uuid4(), version_id=uuid4(), name="old", prompt=b'"text"')
    commits = [commit_of(prompt, contents, **envelope)]
    known = {content.digest: content.data for content in contents}
    with monkeypatch.context() as before:
        before.setattr(versioned, "MAX_LABELS", len(LABELS))
        for label in LABELS:
            prompt = prompt.fork()
            prompt.set_label(label, 1)
            commits.append(commit_of(prompt, known=known, **envelope))
    return commits, prompt


async def write(url: str, *commits: Commit) -> None:
    appender = Appender(url)
    await appender.start()
    for commit in commits:
        await appender.append(commit)
    await appender.close()


async def test_a_skill_is_read_changed_and_copied(
    project: Space, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, contents = old_skill(monkeypatch)
    first = commit_of(old, contents, project_id=project.id)
    _, second = published(old, project_id=project.id)
    await write(postgres_url, first, second)

    shown = await project.show("old")
    assert (len(shown["allowed_tools"]), len(shown["metadata"]), len(shown["files"])) == (10_000, 5_000, 250)
    assert len((await project.show("old", version=1))["outline"]) == 20_000
    for path in ("name/old/diff/?from=1&to=2", "name/old/blame/", "name/old/history/", "name/old/skill-md/"):
        assert (await project.get(path)).status_code == 200, path
    assert (await project.get("name/old/export/")).status_code == 200
    assert (await project.get("?limit=5")).json()["count"] == 1
    assert (await project.at("GET", "events/")).status_code == 200

    await project.ok(200, await project.post("name/old/revert", json={"version": 1, "base_version": 2}))
    copy = await project.ok(201, await project.post("name/old/duplicate", json={"new_name": "copy"}))
    assert len(copy["allowed_tools"]) == 10_000
    # A change of something else leaves them as they are; what is sent anew has to fit.
    changed = await project.publish("old", 3, description="Other")
    assert len(changed["allowed_tools"]) == 10_000
    refused = await project.patch("old", {"base_version": 4, "allowed_tools": list(TOOLS)})
    assert (refused.status_code, refused.json()["attr"]) == (400, "allowed_tools")
    refused = await project.patch("old", {"base_version": 4, "body": "# H\n" * 20_000})
    assert (refused.status_code, refused.json()["attr"]) == (400, "body")
    assert (await project.post("name/old/archive")).status_code == 204
    assert (await project.post("name/old/restore")).status_code == 200


async def test_a_prompt_is_read_changed_and_copied(
    project: Space, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits, _ = old_prompt(monkeypatch, project_id=project.id)
    await write(postgres_url, *commits)
    base = "llm_prompts/name/old"
    [row] = (await project.at("GET", "llm_prompts/")).json()["results"]
    assert len(row["all_labels"]) == 300
    assert (await project.at("GET", f"{base}?label=label-299")).status_code == 200
    assert (await project.at("GET", "llm_prompts/resolve/name/old")).status_code == 200
    moved = await project.at("PUT", f"{base}/labels/label-7", json={"version": 1})
    assert moved.status_code == 200, "one of those that are there may still be moved"
    one_more = await project.at("PUT", f"{base}/labels/one-more", json={"version": 1})
    assert (one_more.status_code, one_more.json()["attr"]) == (400, "label_name")
    assert (await project.at("DELETE", f"{base}/labels/label-8")).status_code == 204
    await project.ok(200, await project.at("PATCH", base, json={"base_version": 1, "prompt": "other"}))
    await project.ok(201, await project.at("POST", f"{base}/duplicate", json={"new_name": "copy"}))


async def test_the_log_is_verified_and_replayed(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, contents = old_skill(monkeypatch)
    commits, _ = old_prompt(monkeypatch)
    first = commit_of(old, contents)
    _, second = published(old)
    await write(fresh_database_url, first, second, *commits)
    assert (await verify(fresh_database_url)).sound
    invariants.check(fresh_database_url)
    with psycopg.connect(fresh_database_url) as conn:
        conn.execute("DELETE FROM search_texts")
        conn.execute("UPDATE artifacts SET latest_version = latest_version + 1")
    assert not (await replay(fresh_database_url)).equal
    assert (await verify(fresh_database_url)).sound
    invariants.check(fresh_database_url)
