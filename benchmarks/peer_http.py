"""The peer behind the same server and framework: a Litestar application whose handler saves the same aggregate by the library's
``Application.save`` in a thread, and answers with the new text.

It still has the easier task: aggregates stay in memory, no key is checked, and only the event is written.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import msgspec
from litestar import Litestar, get, patch
from litestar.params import FromPath

from benchmarks import document
from benchmarks.peer import Peer, environment
from cli.server.http import serve
from cli.settings import Settings
from domain.artifacts.skills import Changes, Skill, SkillFields
from domain.content import Edit

DATABASE = "BENCH_PEER"  # its address
THREADS = 32  # as many as the most clients

ROUTE = "/api/projects/{project_id:int}/llm_skills/name/{name:str}"


class Publish(msgspec.Struct):
    base_version: int
    edits: list[Edit]


class Published(msgspec.Struct):
    version: int
    body: str


def app() -> Any:
    """The application."""
    peer = Peer(env=environment(os.environ[DATABASE], THREADS))
    threads = ThreadPoolExecutor(THREADS)
    known: dict[str, tuple[Skill, str]] = {}

    def save(name: str, change: Edit) -> Published:
        skill, text = known.get(name) or (None, "")
        if skill is None or change.old not in text:
            # A client that is new here, or was served by another process before.
            text = document.body(int(change.old.split()[1][:9]))
            skill, _ = Skill.create(
                id=uuid4(),
                version_id=uuid4(),
                name=name,
                fields=SkillFields("A document of common size."),
                body=text,
            )
            peer.save(skill)
        [content, *_] = skill.publish(
            Changes(edits=(change,)),
            version_id=uuid4(),
            base_version=skill.number,
            texts={skill.body.digest: text.encode()},
        )
        peer.save(skill)
        known[name] = skill, content.data.decode()
        return Published(skill.number, known[name][1])

    @patch(ROUTE, status_code=200)
    async def publish(project_id: FromPath[int], name: FromPath[str], data: Publish) -> Published:
        return await asyncio.get_running_loop().run_in_executor(threads, save, name, data.edits[0])

    @get(ROUTE)
    async def retrieve(project_id: FromPath[int], name: FromPath[str]) -> Published:
        return Published(1, document.body(1))

    @get("/readyz")
    async def ready() -> str:
        return "ok"

    return Litestar([publish, retrieve, ready], openapi_config=None, logging_config=None)


if __name__ == "__main__":
    serve(Settings.from_env(os.environ), "benchmarks.peer_http:app")
