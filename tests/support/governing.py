"""What the tests of label policies and promotions share: a project with several people, and one artifact of a kind with a label."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import httpx

from domain.artifacts.kinds import KINDS
from store.tables import identity
from tests.support.space import NewSpace, Space, skill

KEYS = [
    "id",
    "kind",
    "name",
    "label",
    "version",
    "from_version",
    "status",
    "note",
    "requested_by",
    "requested_at",
    "approvals",
    "required",
    "decided_at",
]
NAME = "agent"


async def with_scopes(space: Space, scopes: Sequence[str], user: identity.User | None = None) -> Space:
    """The same project with another key, of the same user if there is no other."""
    user = user or space.user
    _, key = await identity.create_key(space.conn, email=user.email, scopes=scopes, project_ids=[space.id])
    return Space(space.app, space.conn, space.project, user, key)


async def another(space: Space, scopes: Sequence[str] = ("*",), name: str = "Grace") -> Space:
    """The same project for another person."""
    user = await identity.create_user(space.conn, email=f"{uuid4().hex}@example.com", first_name=name)
    return await with_scopes(space, scopes, user)


class Governed:
    """Requests of one person about the artifact ``agent`` of a kind."""

    def __init__(self, space: Space, kind: str) -> None:
        self.space, self.kind = space, kind
        self.resource = KINDS[kind].RESOURCE

    def of(self, space: Space) -> "Governed":
        return Governed(space, self.kind)

    async def at(self, method: str, path: str, json: Any = None, **query: Any) -> httpx.Response:
        return await self.space.at(method, f"{self.resource}/{path}", json=json, params=query)

    async def named(self, method: str, path: str, json: Any = None, **query: Any) -> httpx.Response:
        return await self.at(method, f"name/{NAME}/{path}", json, **query)

    async def create(self, name: str = NAME) -> None:
        body = {"prompt": {"name": name, "prompt": "one"}, "skill": skill(name)}[self.kind]
        assert (await self.at("POST", "", body)).status_code == 201

    async def publish(self, base: int) -> None:
        field = {"prompt": "prompt", "skill": "body"}[self.kind]
        changed = await self.named("PATCH", "", {"base_version": base, field: f"text {base + 1}"})
        assert changed.status_code == 200, changed.text

    async def put(self, version: int, label: str = "production") -> httpx.Response:
        return await self.named("PUT", f"labels/{label}", {"version": version})

    async def labeled(self, label: str = "production") -> int | None:
        """The version that the label points to."""
        answer = await self.named("GET", "", label=label)
        found: int | None = answer.json().get("version") if answer.status_code == 200 else None
        return found

    async def policy(self, label: str = "production", **policy: Any) -> httpx.Response:
        return await self.space.at("PUT", f"label-policies/{label}", json=policy)

    async def request(self, version: int, label: str = "production", **fields: Any) -> dict[str, Any]:
        answer = await self.named("POST", "promotions", {"label": label, "version": version, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        assert list(made) == KEYS
        return made

    async def act(self, promotion: dict[str, Any], word: str, **body: Any) -> httpx.Response:
        return await self.named("POST", f"promotions/{promotion['id']}/{word}", body)

    async def space_act(self, promotion: dict[str, Any], word: str, **body: Any) -> httpx.Response:
        """By the address that needs the id alone."""
        return await self.space.at("POST", f"promotions/{promotion['id']}/{word}", json=body)

    async def listed(self, **query: Any) -> list[dict[str, Any]]:
        page = await self.space.ok(200, await self.space.at("GET", "promotions/", params=query))
        results: list[dict[str, Any]] = page["results"]
        assert page["count"] >= len(results)
        return results

    async def status(self, promotion: dict[str, Any]) -> str:
        [found] = [one["status"] for one in await self.listed() if one["id"] == promotion["id"]]
        return str(found)


async def governed(new_space: NewSpace, kind: str, versions: int = 3) -> Governed:
    """Several versions, of which ``production`` points to the first; the person may do everything."""
    made = Governed(await new_space(scopes=("*",)), kind)
    await made.create()
    for base in range(1, versions):
        await made.publish(base)
    assert (await made.put(1)).status_code == 201
    return made
