"""Files are bytes: what is no text comes and goes as base64, and every other read copes with it."""

from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest

from tests.support.space import Space, file, refusal

IMAGE = bytes(range(256)) * 3


def binary(path: str, data: bytes = IMAGE, **fields: Any) -> dict[str, Any]:
    return file(path, b64encode(data).decode(), encoding="base64", **fields)


async def test_bytes_come_back_as_they_were_sent(space: Space) -> None:
    created = await space.create(files=[binary("a.png", content_type="image/png"), file("b.txt", "ä")])

    [image, text] = created["files"]
    assert (image["size"], image["sha256"]) == (len(IMAGE), sha256(IMAGE).hexdigest())
    assert (await space.get("name/pdf-forms/files/a.png")).json() == {
        "path": "a.png",
        "content": b64encode(IMAGE).decode(),
        "content_type": "image/png",
        "encoding": "base64",
    }
    assert (await space.get("name/pdf-forms/files/b.txt")).json() == {
        "path": "b.txt",
        "content": "ä",
        "content_type": "text/plain",
    }
    assert text["size"] == 2


async def test_a_file_is_added_and_published_by_the_same_field(space: Space) -> None:
    await space.create()

    added = await space.ok(201, await space.post("name/pdf-forms/files", binary("a.bin")))
    published = await space.publish(
        "pdf-forms", 2, files=[binary("b.bin", b"\xff"), file("c.txt", "c", encoding="utf-8")]
    )

    assert added["files"][0]["sha256"] == sha256(IMAGE).hexdigest()
    assert [entry["size"] for entry in published["files"]] == [1, 1]
    assert (await space.get("name/pdf-forms/files/b.bin")).json()["content"] == "/w=="


async def test_text_in_base64_is_text(space: Space) -> None:
    await space.create(
        files=[binary("a.txt", "é\r\n".encode()), binary("nul.txt", b"a\0b"), binary("empty", b"")]
    )

    assert (await space.get("name/pdf-forms/files/a.txt")).json()["content"] == "é\r\n"
    assert (await space.get("name/pdf-forms/files/nul.txt")).json()["encoding"] == "base64"
    assert (await space.get("name/pdf-forms/files/empty")).json()["content"] == ""


@pytest.mark.parametrize("content", ["a", "====", "YQ", "YQ==\n", "Y Q=", "é", "_w=="])
async def test_what_is_no_base64_is_refused(space: Space, content: str) -> None:
    await space.create()
    bad = file("x", content, encoding="base64")

    assert refusal(await space.post("name/pdf-forms/files", bad)) == (400, "invalid_input", "content")
    answer = await space.patch("pdf-forms", {"base_version": 1, "files": [file("a"), bad]})
    assert refusal(answer) == (400, "invalid_input", "files__1__content")


async def test_an_unknown_encoding_is_refused(space: Space) -> None:
    await space.create()

    answer = await space.post("name/pdf-forms/files", file("x", "y", encoding="latin-1"))
    assert refusal(answer) == (400, "invalid_input", "encoding")


async def test_the_limit_is_of_bytes(space: Space) -> None:
    await space.create()

    too_big = await space.post("name/pdf-forms/files", binary("x", b"\xff" * 1_000_001))
    assert refusal(too_big) == (400, "max_size", "content")
    assert (await space.post("name/pdf-forms/files", binary("x", b"\xff" * 1_000_000))).status_code == 201
    answer = await space.patch("pdf-forms", {"base_version": 2, "files": [file("a", "é" * 500_001)]})
    assert refusal(answer) == (400, "max_size", "files__0__content")


async def test_only_text_is_edited(space: Space) -> None:
    await space.create(files=[binary("a.bin")])

    edits = [{"path": "a.bin", "edits": [{"old": "a", "new": "b"}]}]
    answer = await space.patch("pdf-forms", {"base_version": 1, "file_edits": edits})

    assert refusal(answer) == (400, "not_text", "file_edits__0__path")
    assert answer.json()["file_path"] == "a.bin"


async def test_a_difference_of_bytes_has_no_lines(space: Space) -> None:
    await space.create(files=[binary("a.bin"), file("b", "text\n")])
    await space.publish("pdf-forms", 1, files=[binary("a.bin", b"\xff"), binary("b", b"\xfe")])

    found = (await space.get("name/pdf-forms/diff")).json()
    patch = (await space.get("name/pdf-forms/diff?format=unified")).text

    assert [
        (entry["path"], entry["binary"], entry["truncated"], entry["hunks"]) for entry in found["files"]
    ] == [
        ("a.bin", True, False, []),
        ("b", True, False, []),
    ]
    assert "Binary files a/a.bin and b/a.bin differ" in patch


async def test_what_is_no_text_has_no_lines_to_blame(space: Space) -> None:
    await space.create(files=[binary("a")])
    bytes_alone = (await space.get("name/pdf-forms/blame?path=a")).json()
    await space.publish("pdf-forms", 1, files=[file("a", "one\ntwo\n")])
    lines = (await space.get("name/pdf-forms/blame?path=a")).json()

    assert (bytes_alone["truncated"], bytes_alone["lines"]) == (True, [])
    assert [(line["text"], line["version"]) for line in lines["lines"]] == [("one", 2), ("two", 2)]


async def test_a_copy_and_a_return_have_the_same_bytes(space: Space) -> None:
    await space.create(files=[binary("a.bin")])
    await space.publish("pdf-forms", 1, files=[])

    await space.ok(200, await space.post("name/pdf-forms/revert", {"version": 1, "base_version": 2}))
    await space.ok(201, await space.post("name/pdf-forms/duplicate", {"new_name": "copy"}))

    assert (await space.get("name/copy/files/a.bin")).json()["content"] == b64encode(IMAGE).decode()
