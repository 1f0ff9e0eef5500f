"""A skill as an archive is created, published or left as it is; or refused, with everything that is wrong with it."""

import asyncio
import io
import zipfile
from collections import Counter
from typing import Any

import httpx
import pytest

from domain.formats.archives import zip_of
from tests.support.archives import FILES, PNG, export, packed, send, skill_md, tarred, unzipped
from tests.support.service import Service
from tests.support.space import SKILL_KEYS, NewSpace, Space, refusal, skill

CROWD = 12


def codes(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(problem["code"], problem["path"]) for problem in answer.json()["problems"]]


async def imported(space: Space, archive: bytes, status: int = 201, **fields: Any) -> dict[str, Any]:
    return await space.ok(status, await send(space, archive, **fields))


# What it makes


async def test_a_zip_becomes_a_skill(space: Space) -> None:
    md = skill_md(
        "pdf-forms",
        "license: MIT",
        "allowed-tools: Read Bash(git log:*)",
        "metadata:",
        "  author: Ada",
        "model: opus",
    )

    answer = await send(space, packed("pdf-forms", *FILES, md=md))

    made = await space.ok(201, answer)
    assert set(SKILL_KEYS) < made.keys()
    assert made["outcome"] == "created"
    assert made["problems"] == [
        {
            "code": "unknown_key",
            "message": made["problems"][0]["message"],
            "path": "pdf-forms/SKILL.md",
            "severity": "warning",
        }
    ]
    assert (made["version"], made["license"], made["allowed_tools"]) == (
        1,
        "MIT",
        ["Read", "Bash(git log:*)"],
    )
    assert (made["metadata"], made["frontmatter"]) == ({"author": "Ada"}, "model: opus\n")
    assert [(file["path"], file["content_type"], file["size"]) for file in made["files"]] == [
        ("assets/logo.png", "application/octet-stream", len(PNG)),
        ("empty", "text/plain", 0),
        ("scripts/fill.sh", "text/plain", 20),
    ]
    shown = await space.get("name/pdf-forms")
    outcome, problems = made.pop("outcome"), made.pop("problems")
    assert (outcome, len(problems)) == ("created", 1)
    assert shown.json() == made
    assert shown.headers["etag"] == answer.headers["etag"]
    assert int(answer.headers["x-event-position"]) == await space.head()


async def test_a_gzipped_tar_does_as_well_under_either_prefix(space: Space) -> None:
    answer = await space.at(
        "POST",
        f"/api/environments/{space.id}/llm_skills/import",
        files={"file": ("skill.tgz", tarred("pdf-forms", *FILES))},
    )

    assert (await space.ok(201, answer))["name"] == "pdf-forms"
    assert (
        dict(FILES).items()
        <= {
            path.removeprefix("pdf-forms/"): data for path, data in unzipped(await export(space)).items()
        }.items()
    )


async def test_an_import_that_changes_nothing_makes_no_version(space: Space) -> None:
    first = await imported(space, packed("pdf-forms", *FILES))
    head = await space.head()

    for archive in (packed("pdf-forms", *FILES), tarred("pdf-forms", *FILES), await export(space)):
        again = await imported(space, archive, 200, mode="upsert")
        assert again.pop("outcome") == "unchanged"
        assert again.pop("problems") == []
        assert again == {key: value for key, value in first.items() if key not in ("outcome", "problems")}
    assert await space.head() == head


async def test_an_import_that_changes_something_publishes_only_that(space: Space) -> None:
    await imported(space, packed("pdf-forms", *FILES))
    md = skill_md("pdf-forms", "license: MIT")

    second = await imported(space, packed("pdf-forms", *FILES, md=md), 200, mode="upsert")

    assert (second["outcome"], second["version"], second["license"]) == ("published", 2, "MIT")
    [event, _] = (await space.ok(200, await space.get("name/pdf-forms/history")))["results"]
    assert "license" in str(event["changes"])
    third = await imported(space, packed("pdf-forms", FILES[0]), 200, query={"mode": "upsert"})
    assert (third["outcome"], third["license"]) == ("published", "")
    assert [file["path"] for file in third["files"]] == ["assets/logo.png"]


async def test_what_the_archive_cannot_tell_stays(space: Space) -> None:
    """JSON values of metadata and content types were set by the API; SKILL.md has their text alone."""
    await space.create(
        metadata={"tags": ["a", 1], "depth": 3, "version": "12"},
        files=[{"path": "run.py", "content": "pass\n", "content_type": "text/x-python"}],
    )
    archive = await export(space)

    assert (await imported(space, archive, 200, mode="upsert"))["outcome"] == "unchanged"

    files = [(path.removeprefix("pdf-forms/"), data) for path, data in unzipped(archive).items()]
    changed = zip_of([(path, data.replace(b"pass", b"exit")) for path, data in files], "pdf-forms")
    made = await imported(space, changed, 200, mode="upsert")
    assert made["outcome"] == "published"
    assert made["metadata"] == {"tags": ["a", 1], "depth": 3, "version": "12"}
    assert made["files"][0]["content_type"] == "text/x-python"


async def test_a_version_can_be_described(space: Space) -> None:
    first = await imported(space, packed("one"), version_description="  the first ")
    assert first["version_description"] == "the first"
    second = {"mode": "upsert", "version_description": "second"}
    made = await imported(space, packed("one", body="# Two\n"), 200, **second)
    assert (made["version"], made["version_description"]) == (2, "second")
    same = await imported(
        space, packed("one", body="# Two\n"), 200, **{**second, "version_description": "third"}
    )
    assert (same["outcome"], same["version_description"]) == ("unchanged", "second")
    long = await send(space, packed("two"), version_description="x" * 401)
    assert refusal(long)[:2] == (400, "max_length")
    query = await send(space, packed("two"), query={"version_description": "by query"})
    assert query.json()["version_description"] == "by query"


async def test_a_dry_run_tells_the_outcome_and_does_nothing(space: Space) -> None:
    async def dry(archive: bytes, **fields: str) -> dict[str, Any]:
        return await imported(space, archive, 200, dry_run="true", **fields)

    head = await space.head()
    assert await dry(packed()) == {"outcome": "created", "name": "pdf-forms", "problems": []}
    assert await space.head() == head

    await imported(space, packed())
    head = await space.head()
    assert (await dry(packed(), mode="upsert"))["outcome"] == "unchanged"
    assert (await dry(packed(body="new"), mode="upsert", base_version="1"))["outcome"] == "published"
    taken = await send(space, packed(), dry_run="true")
    assert refusal(taken) == (400, "unique", "name")
    stale = await send(space, packed(), dry_run="true", mode="upsert", base_version="2")
    assert refusal(stale) == (409, "version_conflict", "base_version")
    assert await space.head() == head


# What it starts from


async def test_a_taken_name_is_refused_unless_it_is_meant(space: Space) -> None:
    await space.create()
    head = await space.head()

    assert refusal(await send(space, packed())) == (400, "unique", "name")
    assert await space.head() == head


async def test_base_version_and_if_match_are_kept(space: Space) -> None:
    await imported(space, packed())
    etag = (await space.get("name/pdf-forms")).headers["etag"]
    two = await imported(space, packed(body="two"), 200, mode="upsert", base_version="1")
    assert two["version"] == 2

    stale = await send(space, packed(body="three"), mode="upsert", base_version="1")
    assert refusal(stale) == (409, "version_conflict", "base_version")
    assert stale.json()["current_version"] == 2
    # Also where nothing would change: the caller thinks of another version.
    assert (await send(space, packed(body="two"), mode="upsert", base_version="1")).status_code == 409
    old = await send(space, packed(body="three"), mode="upsert", headers={"If-Match": etag})
    assert refusal(old)[:2] == (412, "precondition_failed")
    etag = (await space.get("name/pdf-forms")).headers["etag"]
    three = await imported(space, packed(body="three"), 200, mode="upsert", headers={"If-Match": etag})
    assert three["version"] == 3


async def test_nothing_starts_from_a_skill_that_is_not_there(space: Space) -> None:
    head = await space.head()

    assert (await send(space, packed(), mode="upsert", base_version="1")).status_code == 404
    missing = await send(space, packed(), mode="upsert", headers={"If-Match": "*"})
    assert refusal(missing)[:2] == (412, "precondition_failed")
    new = await send(space, packed(), base_version="1")
    assert refusal(new) == (400, "needs_upsert", "base_version")
    assert await space.head() == head


async def test_a_repeated_import_gives_the_first_answer(space: Space) -> None:
    key = {"Idempotency-Key": "import-1"}
    # Boundaries differ from request to request; the archive does not.
    first, again = [await send(space, packed("pdf-forms", *FILES), headers=key) for _ in range(2)]

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == first.content
    assert again.headers["etag"] == first.headers["etag"]
    other = await send(space, packed(), headers=key)
    assert refusal(other)[:2] == (422, "idempotency_key_reused")
    assert (await send(space, packed(), mode="upsert", headers=key)).status_code == 422

    key = {"Idempotency-Key": "import-2"}
    first, again = [await send(space, packed(), mode="upsert", headers=key) for _ in range(2)]
    assert [answer.json()["outcome"] for answer in (first, again)] == ["published", "published"]
    assert again.content == first.content


async def test_an_archived_name_is_new_again(space: Space) -> None:
    await imported(space, packed())
    await space.post("name/pdf-forms/archive")

    again = await imported(space, packed(body="new"), mode="upsert")

    assert (again["outcome"], again["version"]) == ("created", 1)


# What is refused


async def test_everything_wrong_is_told_at_once_and_nothing_is_written(space: Space) -> None:
    head = await space.head()
    archive = zip_of(
        [("SKILL.md", b"---\nname: PDF\n---\n"), ("../evil", b"x"), ("big", bytes(1_000_001))], "pdf"
    )

    answer = await send(space, archive, mode="upsert")

    assert refusal(answer) == (400, "invalid_skill", "file")
    assert codes(answer) == [
        ("unsafe_path", "pdf/../evil"),
        ("max_size", "pdf/big"),
        ("blank_body", "pdf/SKILL.md"),
        ("required", "pdf/SKILL.md"),
        ("invalid_name", "pdf/SKILL.md"),
        ("folder_name", "pdf/SKILL.md"),
    ]
    assert "pdf/../evil" in answer.json()["detail"]
    assert "4 more" in answer.json()["detail"]
    assert all(problem["message"] for problem in answer.json()["problems"])
    assert await space.head() == head
    assert await space.names() == []


@pytest.mark.parametrize(
    ("archive", "code"),
    [
        (b"no archive", "not_an_archive"),
        (b"", "not_an_archive"),
        (packed()[:-30], "damaged_archive"),
        (tarred()[:-30], "damaged_archive"),
        (zip_of([("README.md", b"x")]), "skill_md_missing"),
        (packed("pdf-forms", *[(f"f{n}", b"") for n in range(201)]), "too_many_files"),
    ],
)
async def test_what_holds_no_skill_is_refused(space: Space, archive: bytes, code: str) -> None:
    answer = await send(space, archive)

    assert refusal(answer) == (400, "invalid_skill", "file")
    assert [found for found, _ in codes(answer)] == [code]


async def test_a_bomb_is_refused(space: Space) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("SKILL.md", skill_md())
        for n in range(60):
            archive.writestr(f"zeros-{n}", bytes(999_999))

    answer = await send(space, out.getvalue())

    assert codes(answer) == [("archive_too_big", "")]


async def test_an_archive_over_the_limit_of_requests_is_refused(space: Space) -> None:
    answer = await send(space, bytes(5 * 1024 * 1024))

    assert refusal(answer)[:2] == (413, "request_too_large")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"json": {}}, (415, "unsupported_media_type", None)),
        ({"data": {"mode": "upsert"}}, (415, "unsupported_media_type", None)),
        ({}, (415, "unsupported_media_type", None)),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, (400, "parse_error", None)),
        (
            {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
            (400, "parse_error", None),
        ),
        (
            {"content": b"", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
            (400, "required", "file"),
        ),
        ({"files": {"other": ("a.zip", b"x")}}, (400, "required", "file")),
        ({"files": {"file": (None, "text")}}, (400, "invalid_input", "file")),
        ({"files": {"file": (None, b"PK\xff")}}, (400, "parse_error", None)),
        ({"files": [("file", ("a", b"x")), ("file", ("b", b"y"))]}, (400, "max_length", "file")),
        (
            {"files": {"file": ("a.zip", packed())}, "data": {"mode": "replace"}},
            (400, "invalid_input", "mode"),
        ),
        ({"files": {"file": ("a.zip", packed()), "mode": ("m", b"upsert")}}, (400, "invalid_input", "mode")),
        (
            {"files": {"file": ("a.zip", packed())}, "data": {"dry_run": "yes"}},
            (400, "invalid_input", "dry_run"),
        ),
        (
            {"files": {"file": ("a.zip", packed())}, "data": {"mode": "upsert", "base_version": "0"}},
            (400, "min_value", "base_version"),
        ),
        (
            {"files": {"file": ("a.zip", packed())}, "data": {"mode": "up\0sert"}},
            (400, "null_characters_not_allowed", "mode"),
        ),
        (
            {"files": {"file": ("a.zip", packed())}, "params": {"mode": "replace"}},
            (400, "invalid_input", "mode"),
        ),
    ],
)
async def test_forms_that_are_none(space: Space, options: Any, expected: tuple[int, str, Any]) -> None:
    answer = await space.at("POST", "llm_skills/import/", **options)

    assert refusal(answer) == expected
    assert await space.names() == []


async def test_an_import_needs_the_scope_to_write(new_space: NewSpace) -> None:
    reader = await new_space(scopes=("llm_skill:read",))

    assert refusal(await send(reader, packed()))[:2] == (403, "permission_denied")
    assert (await reader.get("import/")).status_code == 405


# Many at once


async def crowd(
    service: Service, *archives: bytes, **fields: str
) -> tuple[list[httpx.Response], httpx.AsyncClient]:
    """Imports on connections of their own, which two processes share."""
    project_id = service.make_project().id
    clients = [service.async_client(project_id=project_id) for _ in archives]
    await asyncio.gather(*(client.get("llm_skills/") for client in clients))
    answers = await asyncio.gather(
        *(
            client.post("llm_skills/import/", files={"file": ("s.zip", archive)}, data=fields)
            for client, archive in zip(clients, archives, strict=True)
        )
    )
    for client in clients[1:]:
        await client.aclose()
    return answers, clients[0]


async def test_many_importers_of_one_new_name_all_succeed(running_service: Service) -> None:
    for _ in range(3):
        answers, client = await crowd(
            running_service, *[packed(body=f"by {n % 4}") for n in range(CROWD)], mode="upsert"
        )
        outcomes = Counter((answer.status_code, answer.json().get("outcome")) for answer in answers)
        assert outcomes[201, "created"] == 1, outcomes
        assert set(outcomes) <= {(201, "created"), (200, "published"), (200, "unchanged")}
        latest = (await client.get("llm_skills/name/pdf-forms")).json()
        assert latest["version"] == outcomes[201, "created"] + outcomes[200, "published"]
        await client.aclose()


async def test_many_importers_of_the_same_make_one_version(running_service: Service) -> None:
    answers, client = await crowd(running_service, *[packed("pdf-forms", *FILES)] * CROWD, mode="upsert")

    outcomes = Counter(answer.json()["outcome"] for answer in answers)
    assert outcomes == {"created": 1, "unchanged": CROWD - 1}
    assert (await client.get("llm_skills/name/pdf-forms")).json()["version"] == 1
    await client.aclose()


async def test_many_creators_by_import_have_one_winner(running_service: Service) -> None:
    answers, client = await crowd(running_service, *[packed(body=f"by {n}") for n in range(CROWD)])

    assert Counter(answer.status_code for answer in answers) == {201: 1, 400: CROWD - 1}
    await client.aclose()


async def test_importers_and_archivers_of_one_name_leave_no_error(running_service: Service) -> None:
    project_id = running_service.make_project().id
    clients = [running_service.async_client(project_id=project_id) for _ in range(CROWD)]

    async def turn(number: int, client: httpx.AsyncClient) -> int:
        if number % 4 == 0:
            return (await client.post("llm_skills/name/pdf-forms/archive/")).status_code
        answer = await client.post(
            "llm_skills/import/",
            files={"file": ("s.zip", packed(body=f"by {number}"))},
            data={"mode": "upsert"},
        )
        return answer.status_code

    for _ in range(4):
        statuses = await asyncio.gather(*(turn(number, client) for number, client in enumerate(clients)))
        assert set(statuses) <= {200, 201, 204, 404}, statuses
        assert all(status in (200, 201) for number, status in enumerate(statuses) if number % 4), statuses
    for client in clients:
        await client.aclose()


async def test_a_create_beside_an_import_is_one_or_the_other(space: Space) -> None:
    created, upserted = await asyncio.gather(
        space.post(json=skill()), send(space, packed(body="by import"), mode="upsert")
    )

    assert upserted.status_code in (200, 201)
    assert created.status_code in (201, 400)
    assert (created.status_code == 201) == (upserted.json()["outcome"] == "published")
