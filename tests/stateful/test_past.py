"""The past, asked for by position or by instant, answers what the present answered then: random histories, every read."""

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from api.config import ApiConfig
from store.postgres.pool import connect
from store.tables import identity
from tests.support.space import Asgi, Space, open_space, running

NAMES = ("ant", "bee", "ant-2")
RESOURCES = ("llm_skills", "llm_prompts")
LABELS = ("prod", "old")
PATHS = ("a.txt", "b/c.txt", "d")
READS = 18  # that are drawn at each step
SCOPES = ("llm_skill:write", "llm_prompt:write")

# What happens, to which kind and name, and a number that the rest is made from. Commands that are refused change nothing.
OPERATIONS = (
    *("create", "publish", "publish", "publish", "publish", "describe", "edit", "duplicate"),
    *(
        "archive",
        "restore",
        "move",
        "move",
        "restore",
        "add",
        "add",
        "rename",
        "remove",
        "label",
        "label",
        "label",
        "unlabel",
        "yank",
        "yank",
        "yank",
        "unyank",
    ),
)
LENGTH = 30  # commands of a history; those that are refused change nothing

Command = tuple[str, str, str, int]
Read = tuple[str, dict[str, str]]
Seen = tuple[int, str, dict[str, str]]


class World:
    """The application, and a loop that everything runs in."""

    def __init__(self, database_url: str, redis_url: str, run_dir: Path) -> None:
        self.runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._config = ApiConfig(
            database_url=database_url,
            redis_url=redis_url,
            run_dir=run_dir,
            rate_limit_per_minute=0,
            rate_limit_per_hour=0,
            access_log=False,
        )
        self.app: Asgi = None
        self.conn: Any = None

    async def open(self) -> None:
        self.app = await self._stack.enter_async_context(running(self._config))
        self.conn = await self._stack.enter_async_context(await connect(self._config.database_url))

    def close(self) -> None:
        self.runner.run(self._stack.aclose())
        self.runner.close()


@pytest.fixture(scope="module")
def world(postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(postgres_url, redis_url, tmp_path_factory.mktemp("past"))
    world.runner.run(world.open())
    yield world
    world.close()


@pytest.mark.parametrize("seed", range(4))
def test_every_read_of_a_position_is_the_read_of_a_log_that_ended_there(world: World, seed: int) -> None:
    rng = random.Random(seed)
    commands = [
        (rng.choice(OPERATIONS), rng.choice(RESOURCES), rng.choice(NAMES[:2]), rng.randrange(4))
        for _ in range(LENGTH)
    ]
    world.runner.run(History(world, rng).check(commands))


class History:
    """One project and what it answered at each position."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng = world, rng
        self.ids: list[str] = []
        self.seen: list[tuple[int, Read, Seen]] = []

    async def check(self, commands: Sequence[Command]) -> None:
        self.space = await open_space(self.world.app, self.world.conn, scopes=SCOPES)
        self.second = await self._other_author()
        try:
            start = await self.space.head()
            await self._capture(start)
            for command in commands:
                before = await self.space.head()
                await self._do(*command)
                if (now := await self.space.head()) != before:
                    await self._capture(now)
            await self._compare()
        finally:
            await self.space.client.aclose()
            await self.second.client.aclose()

    async def _other_author(self) -> Space:
        conn, project = self.world.conn, self.space.project
        user = await identity.create_user(conn, email=f"b{project.id}@example.com", first_name="Bo")
        _, key = await identity.create_key(conn, email=user.email, scopes=SCOPES, project_ids=[project.id])
        return Space(self.world.app, conn, project, user, key)

    # What happens

    async def _do(self, operation: str, resource: str, name: str, number: int) -> None:
        space = self.space if number % 2 else self.second
        at = f"{resource}/name/{name}"
        skill = resource == "llm_skills"
        text = f"Text {number} of {name} STRASSE_{number}%"
        shown = await space.at("GET", at)
        base = shown.json().get("latest_version", 1) if shown.content else 1
        if not shown.is_success and operation != "restore":
            operation = "create"
        calls: dict[str, tuple[str, str, Any]] = {
            "create": (
                "POST",
                f"{resource}/",
                {"name": name, "description": text, "body": f"# {text}", "files": [_file(number)]}
                if skill
                else {"name": name, "prompt": text if number % 3 else [{"role": text}]},
            ),
            "publish": ("PATCH", at, {"base_version": base, "body" if skill else "prompt": f"## {text}"}),
            "describe": (
                "PATCH",
                at,
                {"base_version": base, "description": text}
                if skill
                else {"base_version": base, "config": {"n": number}, "version_description": text},
            ),
            "edit": ("PATCH", at, {"base_version": base, "edits": [{"old": "Text", "new": "Word"}]}),
            "archive": ("POST", f"{at}/archive", None),
            "restore": ("POST", f"{at}/restore", {}),
            "move": ("POST", f"{at}/rename", {"new_name": NAMES[number % 3]}),
            "duplicate": ("POST", f"{at}/duplicate", {"new_name": NAMES[number % 3]}),
            "add": ("POST", f"{at}/files", _file(number)),
            "rename": ("POST", f"{at}/files-rename", {"old_path": PATHS[number % 3], "new_path": "moved"}),
            "remove": ("DELETE", f"{at}/files/{PATHS[number % 3]}", None),
            "label": (
                "PUT",
                f"{at}/labels/{LABELS[number % 2]}",
                {"version": self.rng.randint(1, base)},
            ),
            "unlabel": ("DELETE", f"{at}/labels/{LABELS[number % 2]}", None),
            **{
                word: ("POST", f"{at}/versions/{self.rng.randint(1, base + 1)}/{word}", {"reason": text})
                for word in ("yank", "unyank")
            },
        }
        method, path, body = calls[operation]
        answer = await space.at(method, path, **({} if body is None else {"json": body}))
        assert answer.status_code < 500, answer.text
        if answer.is_success and answer.content and "id" in answer.json():
            self.ids.append(answer.json()["id"])

    # What is read

    async def _capture(self, position: int) -> None:
        for path, params in (self._some_read() for _ in range(READS)):
            answer = await self.space.at("GET", path, params=params)
            self.seen.append((position, (path, params), _plain(answer)))

    def _some_read(self) -> Read:
        rng = self.rng
        resource = rng.choice(RESOURCES)
        skill = resource == "llm_skills"
        name = rng.choice((*NAMES, *NAMES, *NAMES, "an", *self.ids[-3:]))
        what = rng.choice(("list", "list", "list", "get", "get", "resolve", "file" if skill else "get"))
        params: dict[str, str] = {}

        def maybe(chance: float, field: str, *values: Any) -> None:
            if rng.random() < chance:
                params[field] = str(rng.choice(values))

        if what == "list":
            maybe(
                0.5, "order_by", "name", "-name", "created_at", "version", "-latest_version", "-version_count"
            )
            maybe(0.3, "limit", 1, 2)
            maybe(0.2, "offset", 1)
            maybe(
                0.5,
                "search",
                *(f"text {number}" for number in range(4)),
                "ANT",
                "straße_",
                "%",
                "_2",
                "word",
                "role",
            )
            maybe(0.2, "created_by_id", self.space.user.id, self.second.user.id)
            maybe(0.5, "label", *LABELS, *LABELS, "none")
            if not skill:
                maybe(0.4, "content", "preview", "none")
            return f"{resource}/", params
        if what == "resolve":
            maybe(0.3, *rng.choice((("version", 1, 2, 3), ("label", *LABELS))))
            if self.ids:
                maybe(0.3, "version_id", *self.ids[-6:])
            maybe(0.3, "limit", 1, 2)
            maybe(0.5, *rng.choice((("offset", 1, 2), ("before_version", 2, 3))))
            return f"{resource}/resolve/name/{name}", params
        maybe(0.6, *rng.choice((("version", 1, 2, 3, 2**40), ("label", *LABELS))))
        if what == "file":
            return f"{resource}/name/{name}/files/{rng.choice((*PATHS, 'moved'))}", params
        if skill:
            maybe(0.3, "body_offset", 0, 3)
        else:
            maybe(0.3, "content", "preview", "none")
        return f"{resource}/name/{name}", params

    # What the past says of it

    async def _compare(self) -> None:
        rows = await (await self.world.conn.execute("SELECT position, recorded_at FROM events")).fetchall()
        times: dict[int, datetime] = dict(rows)
        for position, (path, params), then in self.seen:
            moments = [{"position": str(position)}]
            if position and self.rng.random() < 0.4:
                moments.append({"as_of": self._instant(times, position)})
            for moment in moments:
                answer = await self.space.at("GET", path, params={**params, **moment})
                assert _plain(answer) == then, f"GET {path} {params} {moment}"

    def _instant(self, times: dict[int, datetime], position: int) -> str:
        """From that of the event to just before that of the next one, in any zone."""
        at = times[position]
        if position + 1 in times:
            at += (times[position + 1] - at - timedelta(microseconds=1)) * self.rng.choice((0, 0, 0.5, 1))
        zone = timezone(timedelta(hours=self.rng.choice((0, 2, -7))))
        return at.astimezone(zone).isoformat(timespec="microseconds")


def _file(number: int) -> dict[str, str]:
    return {"path": PATHS[number % 3], "content": f"content {number}\n"}


def _plain(answer: httpx.Response) -> Seen:
    """Status, body and headers, without what the question itself brings in."""
    kept = {
        key: value
        for key, value in answer.headers.items()
        if key in ("content-type", "location", "x-event-position", "allow")
    }
    if "location" in kept:
        kept["location"] = _without_moment(kept["location"])
    body = answer.text
    if answer.is_success:
        value = answer.json()
        if "results" in value:
            value["next"], value["previous"] = map(_without_moment, (value["next"], value["previous"]))
            body = json.dumps(value)
        else:
            kept["etag"] = answer.headers["etag"]
    return answer.status_code, body, kept


def _without_moment(url: str | None) -> str:
    if url is None:
        return ""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key not in ("position", "as_of")]
    return parts._replace(query=urlencode(query)).geturl()
