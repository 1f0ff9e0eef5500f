"""Text is kept byte for byte, lines are trimmed, limits hold to the byte, headings are CommonMark's (sections 3 and 4)."""

import hashlib
from typing import Any

import pytest

from tests.support.space import Space, file, skill

TEXTS = [
    "one\r\ntwo\r\n",
    "no final newline",
    "three newlines\n\n\n",
    "  leading and trailing  ",
    "\ufeffwith a byte order mark",
    "\r",
    "a\rb\x85c\u2028d\x0be\x0c",
    "😀 𝔘 \U0010ffff \ufffe \uffff é e\u0301",
    "\x01\x1b[31m\x7f\t",
    'quotes " \\ / </script> \\u0000 \\ud800',
    "\u200b\u200e\u202e",
]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text)[:20])
async def test_texts_come_back_as_they_were_sent(space: Space, text: str) -> None:
    body = text if text.strip() else f"x{text}"
    created = await space.create(body=body, files=[file("f", text)])

    assert created["body"] == body
    assert (await space.show())["body"] == body
    assert (await space.get("name/pdf-forms/files/f")).json()["content"] == text
    assert created["files"][0]["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert created["files"][0]["size"] == len(text.encode())

    added = await space.ok(201, await space.post("name/pdf-forms/files", file("g", text)))
    assert added["files"][1]["sha256"] == created["files"][0]["sha256"]
    edits = [{"old": body, "new": text + "|" + text}]
    published = await space.publish(
        "pdf-forms", 2, edits=edits, file_edits=[{"path": "f", "edits": [{"old": text, "new": f"<{text}>"}]}]
    )
    assert published["body"] == text + "|" + text
    assert (await space.get("name/pdf-forms/files/f")).json()["content"] == f"<{text}>"


async def test_a_file_may_be_empty_and_a_new_text_too(space: Space) -> None:
    await space.create(body="ab", files=[file("f", "")])

    published = await space.publish("pdf-forms", 1, edits=[{"old": "a", "new": ""}])

    assert published["body"] == "b"
    assert published["files"][0]["size"] == 0


async def test_lines_are_trimmed(space: Space) -> None:
    created = await space.create(
        name=" \tpdf-forms\n",
        description=" \n in  the\n middle \t",
        license="\u00a0MIT ",
        compatibility=" any\r\n",
        allowed_tools=[" Read ", "\tBash(git log:*)\n"],
    )

    assert created["name"] == "pdf-forms"
    assert created["description"] == "in  the\n middle"
    assert (created["license"], created["compatibility"]) == ("MIT", "any")
    assert created["allowed_tools"] == ["Read", "Bash(git log:*)"]
    published = await space.publish("pdf-forms", 1, description=" x ", license=" ", allowed_tools=[" a "])
    assert (published["description"], published["license"], published["allowed_tools"]) == ("x", "", ["a"])
    assert await space.names(search="  PDF ") == ["pdf-forms"]
    assert await space.names(search="   ") == ["pdf-forms"]


LIMITS: list[dict[str, Any]] = [
    {"name": "x" * 64},
    {"name": "0"},
    {"description": "é" * 1024},
    {"description": " " + "x" * 1024 + "\n"},
    {"body": "x" * 1_000_000},
    {"body": "é" * 500_000},
    {"license": "x" * 255},
    {"compatibility": "😀" * 500},
    {"allowed_tools": ["Bash(git log:*)", "a(b c)d", "(a b)", "a()b()", "", "x" * 5000][:4]},
    {"metadata": {"k": "x" * (100_000 - 8)}},
    {"metadata": {"k": "é" * 49_996}},
    {"files": [file(f"{number}") for number in range(200)]},
    {"files": [file("é" * 500)]},
    {"files": [file("f", "x" * 1_000_000)]},
    {"files": [file("f", content_type="x" * 100)]},
    {"files": [file("a/SKILL.md"), file("A"), file(" b "), file("..."), file("a b/c")]},
]


@pytest.mark.parametrize("fields", LIMITS, ids=lambda fields: repr(fields)[:40])
async def test_what_is_exactly_at_a_limit_is_taken(space: Space, fields: dict[str, Any]) -> None:
    created = await space.create(**{"name": "pdf-forms", **fields})

    assert created["version"] == 1
    assert (await space.show(created["name"]))["body"] == fields.get("body", created["body"])


async def test_metadata_one_byte_over_and_one_level_too_deep(space: Space) -> None:
    def objects(depth: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for _ in range(depth - 1):
            value = {"k": value}
        return value

    over = await space.post(json=skill(metadata={"k": "x" * (100_000 - 7)}))
    assert (over.status_code, over.json()["code"], over.json()["attr"]) == (400, "max_size", "metadata")
    deep = await space.post(json=skill(metadata=objects(33)))
    assert (deep.status_code, deep.json()["attr"]) == (400, "metadata")
    mixed = await space.post(json=skill(metadata={"k": [[[objects(30)]]]}))
    assert (mixed.status_code, mixed.json()["attr"]) == (400, "metadata")
    assert (await space.create(metadata=objects(32)))["metadata"] == objects(32)
    very_deep = b'{"name":"a","description":"d","body":"b","metadata":' + b'{"a":' * 5000 + b"1" + b"}" * 5001
    answer = await space.at(
        "POST", "llm_skills/", content=very_deep, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400


async def test_metadata_comes_back_as_it_was_sent(space: Space) -> None:
    metadata = {
        "big": 10**30,
        "small": -(2**63),
        "float": 1e-7,
        "text": "\u00e9\u2028",
        "": {"": []},
        "order": {"z": 1, "a": 2},
        "null": None,
    }

    await space.create(metadata=metadata)

    shown = (await space.show())["metadata"]
    assert shown == metadata
    assert list(shown["order"]) == ["z", "a"]


OUTLINES = [
    ("# One\n## Two ##\n###### Six ###### \n####### seven\n", [(1, "One"), (2, "Two"), (6, "Six")]),
    ("#no\n# \n#\n", [(1, ""), (1, "")]),
    ("```\n# code\n```\n~~~sh\n# code\n~~~\n# Real\n", [(1, "Real")]),
    ("````\n```\n# code\n````\n# Real\n", [(1, "Real")]),
    ("```\n# never closed\n", []),
    ("    # indented code\n   # three is fine\n", [(1, "three is fine")]),
    ("One\n===\n\nTwo\n---\n\n---\n", [(1, "One"), (2, "Two")]),
    ("Two\nlines\n===\n", [(1, "Two\nlines")]),
    ("# *em* `code` [a](b) \\# c #\n", [(1, "*em* `code` [a](b) \\# c")]),
    ("# a #b\n# a\\#\n# a \\##\n", [(1, "a #b"), (1, "a\\#"), (1, "a \\##")]),
    ("> # quoted\n\n- # listed\n  ## below\n", [(1, "quoted"), (1, "listed"), (2, "below")]),
    ("<div>\n# html\n</div>\n\n# Real\n", [(1, "Real")]),
    ("<!--\n# comment\n-->\n# Real\n", [(1, "Real")]),
    ("# CR\r## LF\n### CRLF\r\n", [(1, "CR"), (2, "LF"), (3, "CRLF")]),
    ("\t# tab\n#\ttabbed\n", [(1, "tabbed")]),
    ("text\n# interrupts\ntext\n", [(1, "interrupts")]),
    ("# &amp; 😀\n", [(1, "&amp; 😀")]),
    ("plain", []),
]


@pytest.mark.parametrize(("body", "headings"), OUTLINES, ids=lambda value: repr(value)[:25])
async def test_the_outline_in_the_answers(space: Space, body: str, headings: list[tuple[int, str]]) -> None:
    outline = [{"level": level, "text": text} for level, text in headings]

    assert (await space.create(body=body))["outline"] == outline
    assert (await space.show())["outline"] == outline
    assert (await space.get("")).json()["results"][0]["outline"] == outline


async def test_the_outline_follows_the_body_of_each_version(space: Space) -> None:
    await space.create(body="# One")
    await space.publish("pdf-forms", 1, edits=[{"old": "One", "new": "Two"}])
    await space.publish("pdf-forms", 2, description="d")

    for version, text in ((1, "One"), (2, "Two"), (3, "Two")):
        assert (await space.show(version=version))["outline"] == [{"level": 1, "text": text}]


@pytest.mark.parametrize(
    ("query", "part", "following"),
    [
        ("body_offset=0", "añ😀\r\nz", None),
        ("body_length=3", "añ😀", 3),
        ("body_offset=2&body_length=1", "😀", 3),
        ("body_offset=3", "\r\nz", None),
        ("body_offset=3&body_length=3", "\r\nz", None),
        ("body_offset=6", "", None),
        ("body_offset=999999999999", "", None),
        ("body_length=999999999999", "añ😀\r\nz", None),
    ],
)
async def test_the_body_in_parts(space: Space, query: str, part: str, following: int | None) -> None:
    whole = await space.create(body="añ😀\r\nz")

    shown = (await space.get(f"name/pdf-forms?{query}")).json()

    assert (shown["body"], shown["body_total_length"], shown["body_next_offset"]) == (part, 6, following)
    assert shown | {"body": whole["body"]} == whole | {"body_total_length": 6, "body_next_offset": following}


async def test_the_parts_of_an_old_body_make_the_whole(space: Space) -> None:
    await space.create(body="0123456789")
    await space.publish("pdf-forms", 1, body="x")
    parts: list[str] = []
    offset: int | None = 0

    while isinstance(offset, int):
        part = await space.show(version=1, body_offset=offset, body_length=3)
        parts.append(part["body"])
        offset = part["body_next_offset"]

    assert parts == ["012", "345", "678", "9"]
    assert "body_total_length" not in await space.show(version=1)
