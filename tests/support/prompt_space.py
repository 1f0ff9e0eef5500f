"""What the tests of prompts share: requests below ``llm_prompts/`` of a project, and the keys of each representation."""

from typing import Any

import httpx

from tests.support.space import Space

BY_NAME_KEYS = [
    "id",
    "name",
    "prompt",
    "config",
    "version_description",
    "version",
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
FULL_KEYS = [*BY_NAME_KEYS, "created_by"]
ROW_KEYS = [
    *(key for key in FULL_KEYS if key != "labels"),
    "prompt_preview",
    "prompt_size_bytes",
    "all_labels",
]
LINE_KEYS = ["id", "version", "created_by", "created_at", "is_latest"]


def chat(content: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": content}]


class PromptSpace:
    """A project of one test. Methods take the name of the prompt where it is not ``agent``."""

    def __init__(self, space: Space) -> None:
        self.space = space

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.space.at("GET", f"llm_prompts/{path}", **options)

    async def post(self, path: str = "", json: Any = None, **options: Any) -> httpx.Response:
        return await self.space.at("POST", f"llm_prompts/{path}", json=json, **options)

    async def patch(self, json: Any, name: str = "agent", **options: Any) -> httpx.Response:
        return await self.space.at("PATCH", f"llm_prompts/name/{name}", json=json, **options)

    async def put(self, label: str, json: Any, name: str = "agent", **options: Any) -> httpx.Response:
        return await self.space.at("PUT", f"llm_prompts/name/{name}/labels/{label}", json=json, **options)

    async def delete(self, label: str, name: str = "agent", **options: Any) -> httpx.Response:
        return await self.space.at("DELETE", f"llm_prompts/name/{name}/labels/{label}", **options)

    async def create(self, name: str = "agent", prompt: Any = "one", **fields: Any) -> dict[str, Any]:
        """A new prompt, as answered."""
        return await self.space.ok(201, await self.post(json={"name": name, "prompt": prompt, **fields}))

    async def publish(self, base: int, name: str = "agent", **fields: Any) -> dict[str, Any]:
        """A new version, as answered."""
        return await self.space.ok(200, await self.patch({"base_version": base, **fields}, name))

    async def show(self, name: str = "agent", **query: Any) -> dict[str, Any]:
        return await self.space.ok(200, await self.get(f"name/{name}", params=query))

    async def set_label(self, label: str, version: int, name: str = "agent") -> dict[str, Any]:
        answer = await self.put(label, {"version": version}, name)
        assert answer.status_code in (200, 201), answer.text
        decoded: dict[str, Any] = answer.json()
        return decoded

    async def names(self, **query: Any) -> list[str]:
        """The names of one list page, in order."""
        page = await self.space.ok(200, await self.get("", params={"content": "none", **query}))
        return [row["name"] for row in page["results"]]
