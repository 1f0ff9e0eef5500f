"""``Content-Encoding`` of a request was ignored: a gzipped body was broken JSON, wherever it came but to git."""

import gzip
import json
import zlib
from typing import Any

import pytest

from tests.support.archives import tarred
from tests.support.space import Space, skill

LIMIT = 4 * 1024 * 1024  # of the application of these tests


def packed(body: Any, **headers: str) -> dict[str, Any]:
    content = gzip.compress(body if isinstance(body, bytes) else json.dumps(body).encode())
    return {
        "content": content,
        "headers": {"Content-Type": "application/json", "Content-Encoding": "gzip", **headers},
    }


async def test_create_and_publish_take_gzip(space: Space) -> None:
    created = await space.at("POST", "llm_skills/", **packed(skill(body="large!!\n" * 100_000)))
    assert created.status_code == 201, created.text
    published = await space.at(
        "PATCH", "llm_skills/name/pdf-forms", **packed({"base_version": 1, "body": "é\n"})
    )
    assert (published.status_code, published.json()["body"]) == (200, "é\n")


async def test_an_import_takes_gzip(space: Space) -> None:
    form = space.client.build_request("POST", "/", files={"file": ("a.tar.gz", tarred())})
    answer = await space.at(
        "POST",
        "llm_skills/import/",
        **packed(form.read(), **{"Content-Type": form.headers["content-type"]}),
    )
    assert answer.status_code in (200, 201), answer.text


async def test_mcp_takes_gzip(space: Space) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    accepts = {"Accept": "application/json, text/event-stream"}
    plain = await space.at("POST", "mcp", json=message, headers=accepts)
    answer = await space.at("POST", "mcp", **packed(message, **accepts))
    assert (answer.status_code, answer.content) == (plain.status_code, plain.content)


async def test_a_request_is_the_same_however_it_is_packed(space: Space) -> None:
    once = {"Idempotency-Key": "one"}
    body = json.dumps(skill()).encode()
    first = await space.at(
        "POST", "llm_skills/", content=body, headers={**once, "Content-Type": "application/json"}
    )
    again = await space.at("POST", "llm_skills/", **packed(body, **once))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("path", ["llm_skills/", "llm_skills/name/any", "mcp", "llm_skills/import/"])
async def test_a_bomb_is_cut_off(space: Space, path: str) -> None:
    method = "PATCH" if path.endswith("any") else "POST"
    bomb = gzip.compress(b" " * (LIMIT + 1))
    headers = {"Content-Type": "application/json", "Content-Encoding": "x-gzip"}
    if path.endswith("import/"):
        headers["Content-Type"] = "multipart/form-data; boundary=b"
    answer = await space.at(method, path, content=bomb, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        gzip.compress(b"{}")[:-1],
        gzip.compress(b"{}")[:-8] + bytes(8),
        gzip.compress(b"{}") + b"and more",
        zlib.compress(b"{}"),
        gzip.compress(b"") * 40_000,
        gzip.compress(bytes(range(256)) * 40)[:300] + b"\xff" * 3000,
    ],
    ids=["plain", "cut off", "wrong sum", "more behind", "deflate", "many members", "damaged"],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_what_is_broken_is_refused(space: Space, method: str, content: bytes) -> None:
    path = "llm_skills/" if method == "POST" else "llm_skills/name/any"
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await space.at(method, path, content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "parse_error"), answer.text


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "gzip, br", "x"])
async def test_what_is_packed_otherwise_is_named(space: Space, encoding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    answer = await space.at("POST", "llm_skills/", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert encoding in answer.json()["detail"]
    assert answer.headers["accept-encoding"] == "gzip"


async def test_who_may_not_come_in_is_told_that_first(space: Space) -> None:
    answer = await space.at(
        "POST", "llm_skills/", content=b"x", headers={"Content-Encoding": "br", "Authorization": ""}
    )
    assert answer.status_code == 401


async def test_a_body_may_be_called_what_it_is_or_be_none(space: Space) -> None:
    answer = await space.at("POST", "llm_skills/", json=skill(), headers={"Content-Encoding": "identity"})
    assert answer.status_code == 201
    answer = await space.at("POST", "llm_skills/name/pdf-forms/archive", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 204, answer.text
