"""What the API tests share: the application without sockets, and a project with a key and a client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx

from api.cache.shared_memory import SharedMemoryCache
from api.config import ApiConfig
from console.app import create_app
from console.issuer import Settings
from store.log.log import head
from store.postgres.connection import Connection
from store.tables import identity

Asgi = Any
NewSpace = Callable[..., Awaitable["Space"]]

BODY = "# PDF forms\n\nRead the form, then fill it in.\n"

USER_KEYS = [
    "id",
    "uuid",
    "distinct_id",
    "first_name",
    "last_name",
    "email",
    "is_email_verified",
    "hedgehog_config",
    "role_at_organization",
]
SKILL_KEYS = [
    "id",
    "name",
    "category",
    "description",
    "body",
    "license",
    "compatibility",
    "allowed_tools",
    "metadata",
    "version_description",
    "files",
    "outline",
    "digest",
    "skill_md",
    "spec_problems",
    "frontmatter",
    "version",
    "created_by",
    "created_at",
    "updated_at",
    "deleted",
    "is_latest",
    "latest_version",
    "version_count",
    "first_version_created_at",
    "owners",
    "tags",
    "yanked",
    "labels",
]
ROW_KEYS = [*(key for key in SKILL_KEYS if key not in ("body", "files", "labels")), "all_labels"]


def skill(name: str = "pdf-forms", **fields: Any) -> dict[str, Any]:
    """The body of a create request."""
    return {"name": name, "description": "Fill in PDF forms.", "body": BODY, **fields}


def file(path: str, content: str = "x", **fields: Any) -> dict[str, Any]:
    return {"path": path, "content": content, **fields}


@asynccontextmanager
async def running(
    config: ApiConfig, shared: SharedMemoryCache | None = None, issuer: Settings | None = None
) -> AsyncIterator[Asgi]:
    """The application with its lifespan, as a server runs it."""
    app: Asgi = create_app(config, shared, issuer)
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    task = asyncio.create_task(app({"type": "lifespan", "state": {}}, inbox.get, outbox.put))
    await inbox.put({"type": "lifespan.startup"})
    started = await outbox.get()
    assert started["type"] == "lifespan.startup.complete", started
    try:
        yield app
    finally:
        await inbox.put({"type": "lifespan.shutdown"})
        await outbox.get()
        await task


class Space:
    """A project of one test: requests to it, and the head of the log that it writes to."""

    def __init__(
        self,
        app: Asgi,
        conn: Connection,
        project: identity.Project,
        user: identity.User,
        key: str,
        *,
        peer: str = "127.0.0.1",
    ) -> None:
        self.app, self.conn, self.project, self.user, self.key = app, conn, project, user, key
        self.id = project.id
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=(peer, 50_000)),
            base_url="http://skald.test",
            headers={"Authorization": f"Bearer {key}"},
        )

    def seen_from(self, peer: str) -> "Space":
        """The same project for a client that connects from ``peer``."""
        return Space(self.app, self.conn, self.project, self.user, self.key, peer=peer)

    async def at(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request to ``path``, below the project unless it starts with a slash."""
        address = path if path.startswith("/") else f"/api/projects/{self.id}/{path}"
        return await self.client.request(method, address, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """GET below ``llm_skills/``."""
        return await self.at("GET", f"llm_skills/{path}", **options)

    async def post(self, path: str = "", json: Any = None, **options: Any) -> httpx.Response:
        return await self.at("POST", f"llm_skills/{path}", json=json, **options)

    async def patch(self, name: str, json: Any = None, **options: Any) -> httpx.Response:
        return await self.at("PATCH", f"llm_skills/name/{name}", json=json, **options)

    async def delete(self, path: str, **options: Any) -> httpx.Response:
        return await self.at("DELETE", f"llm_skills/{path}", **options)

    async def create(self, name: str = "pdf-forms", **fields: Any) -> dict[str, Any]:
        """A new skill, as answered."""
        return await self.ok(201, await self.post(json=skill(name, **fields)))

    async def publish(self, name: str, base: int, /, **fields: Any) -> dict[str, Any]:
        """A new version, as answered."""
        return await self.ok(200, await self.patch(name, {"base_version": base, **fields}))

    async def set_label(self, label: str, version: int, name: str = "pdf-forms") -> httpx.Response:
        """As answered: 201 for a new label, 200 for one that moved."""
        return await self.at("PUT", f"llm_skills/name/{name}/labels/{label}", json={"version": version})

    async def show(self, name: str = "pdf-forms", **query: Any) -> dict[str, Any]:
        return await self.ok(200, await self.get(f"name/{name}", params=query))

    async def names(self, **query: Any) -> list[str]:
        """The names of one list page, in order."""
        page = await self.ok(200, await self.get("", params=query))
        return [row["name"] for row in page["results"]]

    @staticmethod
    async def ok(status: int, answer: httpx.Response) -> dict[str, Any]:
        assert answer.status_code == status, answer.text
        decoded: dict[str, Any] = answer.json()
        return decoded

    async def head(self) -> int:
        """The last position of the log; tests of one process run one after the other, so only this test moves it."""
        return await head(self.conn)


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and attr of an error whose shape is checked on the way."""
    body = answer.json()
    assert list(body)[:4] == ["type", "code", "detail", "attr"], body
    assert answer.headers["content-type"] == "application/json"
    assert body["type"] == TYPES[answer.status_code] or body["code"] == "parse_error", body
    assert len(body["detail"]) > 10
    return answer.status_code, body["code"], body["attr"]


TYPES = {
    400: "validation_error",
    401: "authentication_error",
    403: "authentication_error",
    404: "invalid_request",
    405: "invalid_request",
    409: "validation_error",
    410: "invalid_request",
    412: "validation_error",
    413: "invalid_request",
    415: "invalid_request",
    422: "validation_error",
}


async def open_space(
    app: Asgi,
    conn: Connection,
    *,
    scopes: Sequence[str] = ("llm_skill:write",),
    user: identity.User | None = None,
) -> Space:
    """A new project, and a key of ``user`` (else of a new one) that opens it alone."""
    project = await identity.create_project(conn, "Test")
    if user is None:
        user = await identity.create_user(conn, email=f"{uuid4().hex}@example.com", first_name="Ada")
    _, key = await identity.create_key(conn, email=user.email, scopes=scopes, project_ids=[project.id])
    return Space(app, conn, project, user, key)
