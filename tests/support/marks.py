"""A project with skills or prompts, for what owners and tags of both kinds have in common."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx

from store.tables import identity
from tests.support.space import Space

BODIES: dict[str, dict[str, Any]] = {
    "llm_skills": {"description": "D", "body": "# One\n"},
    "llm_prompts": {"prompt": "One"},
}
# What makes another version.
CHANGES: dict[str, dict[str, Any]] = {"llm_skills": {"body": "# Two\n"}, "llm_prompts": {"prompt": "Two"}}


class Kept:
    """The artifacts of one kind in a project."""

    def __init__(self, space: Space, resource: str) -> None:
        self.space, self.resource = space, resource
        self.change = CHANGES[resource]

    async def send(self, method: str, path: str = "", json: Any = None, **options: Any) -> httpx.Response:
        return await self.space.at(method, f"{self.resource}/{path}", json=json, **options)

    async def create(self, name: str = "one", **fields: Any) -> dict[str, Any]:
        body = {"name": name, **BODIES[self.resource], **fields}
        made: dict[str, Any] = await self.ok(201, "POST", "", body)
        return made

    async def patch(self, json: Any, name: str = "one", **options: Any) -> dict[str, Any]:
        changed: dict[str, Any] = await self.ok(200, "PATCH", f"name/{name}", json, **options)
        return changed

    async def ok(self, status: int, method: str, path: str, json: Any = None, **options: Any) -> Any:
        answer = await self.send(method, path, json, **options)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def show(self, name: str = "one", **query: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self.ok(200, "GET", f"name/{name}", params=query)
        return found

    async def names(self, **query: Any) -> list[str]:
        page = await self.ok(200, "GET", "", params={"order_by": "name", **query})
        return [row["name"] for row in page["results"]]

    async def user(self, *, projects: list[int], expires_in: timedelta | None = None) -> identity.User:
        """A user with a key for these projects."""
        user = await identity.create_user(
            self.space.conn, email=f"{uuid4().hex}@example.com", first_name="Bo"
        )
        await identity.create_key(
            self.space.conn,
            email=user.email,
            scopes=["llm_skill:read"],
            project_ids=projects,
            expires_in=expires_in,
        )
        return user

    async def member(self) -> identity.User:
        return await self.user(projects=[self.space.id])


def ids(artifact: dict[str, Any]) -> list[int]:
    return [owner["id"] for owner in artifact["owners"]]
