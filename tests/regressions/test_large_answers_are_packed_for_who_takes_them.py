"""Nothing was packed, and ``Vary`` did not say what answers depend on."""

import gzip

import pytest

from api.server.compression import SMALLEST, takes_gzip
from tests.support.space import Space, skill

PLAIN = {"Accept-Encoding": "identity"}
PACKED = {"Accept-Encoding": "gzip"}


async def filled(space: Space, count: int = 6) -> None:
    for number in range(count):
        answer = await space.at("POST", "llm_skills/", json=skill(name=f"skill-{number}"))
        assert answer.status_code == 201


async def raw(space: Space, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """An answer as it came, before the client unpacks it."""
    address = path if path.startswith("/") else f"/api/projects/{space.id}/{path}"
    async with space.client.stream("GET", address, headers=headers) as answer:
        body = b"".join([part async for part in answer.aiter_raw()])
    return answer.status_code, dict(answer.headers), body


@pytest.mark.parametrize(
    "path",
    [
        "llm_skills/",
        "llm_skills/resolve/name/skill-0?limit=9",
        "/schema/openapi.json",
        "/schema/reference.js",
    ],
)
async def test_the_same_comes_shorter_and_with_a_tag_of_its_own(space: Space, path: str) -> None:
    await filled(space)
    _, plain, whole = await raw(space, path, **PLAIN)
    status, packed, short = await raw(space, path, **PACKED)

    assert (status, packed["content-encoding"]) == (200, "gzip")
    assert "content-encoding" not in plain
    assert gzip.decompress(short) == whole
    assert int(packed["content-length"]) == len(short) < len(whole)
    assert packed["etag"] == plain["etag"][:-1] + '-gzip"'
    assert "accept-encoding" in plain["vary"].lower()
    assert "accept-encoding" in packed["vary"].lower()
    for encoding in (PLAIN, PACKED):
        for tag in (plain["etag"], packed["etag"], f'"x", W/{packed["etag"]}'):
            status, same, body = await raw(space, path, **encoding, **{"If-None-Match": tag})
            assert (status, body) == (304, b"")
            assert "accept-encoding" in same["vary"].lower()
    _, same, _ = await raw(space, path, **PACKED, **{"If-None-Match": packed["etag"]})
    assert same["etag"] == packed["etag"]


@pytest.mark.parametrize(
    "path",
    [
        "llm_skills/name/large",
        "llm_skills/name/large?version=1",
        "llm_skills/name/large?position={position}",
        "llm_skills/name/large/skill-md",
        "llm_skills/name/large/export",
        "llm_skills/tags",
    ],
)
async def test_what_has_a_strong_tag_for_its_bytes_or_is_small_is_left(space: Space, path: str) -> None:
    created = await space.at("POST", "llm_skills/", json=skill(name="large", body="# x\n" * 2_000))
    place = path.format(position=created.headers["x-event-position"])
    status, headers, _ = await raw(space, place, **PACKED)

    assert "content-encoding" not in headers
    if status == 200:
        assert not headers["etag"].endswith('-gzip"')


async def test_a_write_is_conditional_on_what_was_read_by_a_client_that_takes_gzip(space: Space) -> None:
    await space.at("POST", "llm_skills/", json=skill(body="# x\n" * 2_000))
    read = await space.at("GET", "llm_skills/name/pdf-forms", headers=PACKED)
    answer = await space.at(
        "PATCH", "llm_skills/name/pdf-forms", json={"body": "y"}, headers={"If-Match": read.headers["etag"]}
    )
    assert answer.status_code == 200


async def test_a_short_list_is_left(space: Space) -> None:
    status, headers, body = await raw(space, "llm_skills/", **PACKED)
    assert (status, "content-encoding" in headers) == (200, False)
    assert len(body) < SMALLEST


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        (None, False),
        (b"", False),
        (b"br", False),
        (b"gzip", True),
        (b"GZip;q=0.5, br", True),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000, *", False),
        (b"*", True),
        (b"*;q=0", False),
        (b"deflate, x-gzip", True),
        (b"identity;q=1, *;q=0", False),
    ],
)
def test_what_is_accepted(accepted: bytes | None, taken: bool) -> None:
    assert takes_gzip(accepted) is taken


@pytest.mark.parametrize("path", ["events/", "audit/", "audit/?format=csv"])
async def test_what_depends_on_accept_says_so(space: Space, new_space, path: str) -> None:  # type: ignore[no-untyped-def]
    reader = await new_space(scopes=("event:read", "llm_skill:write"))
    await filled(reader, 1)
    for accept in (
        "*/*",
        "application/json",
        "application/x-ndjson",
        "application/cloudevents-batch+json",
        "text/csv",
    ):
        status, headers, _ = await raw(reader, path, Accept=accept)
        assert status == 200
        assert "accept" in [name.strip().lower() for name in headers["vary"].split(",")]
        status, headers, _ = await raw(reader, path, Accept=accept, **{"If-None-Match": headers["etag"]})
        assert status == 304
        assert "accept" in [name.strip().lower() for name in headers["vary"].split(",")]


async def test_mcp_says_so_too(space: Space) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    for accept in ("application/json, text/event-stream", "image/png"):
        answer = await space.at("POST", "mcp", json=message, headers={"Accept": accept})
        assert "accept" in [name.strip().lower() for name in answer.headers["vary"].split(",")]


@pytest.mark.parametrize("path", ["/metrics", "/schema", "/schema/reference.css", "/schema/reference.js"])
async def test_a_type_has_its_charset_once(space: Space, path: str) -> None:
    answer = await space.at("GET", path)
    assert answer.headers["content-type"].count("charset") == 1
