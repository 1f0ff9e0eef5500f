"""SKILL.md of every version: rendered once, the same everywhere, and described by every skill that is shown."""

from hashlib import sha256
from pathlib import Path

import pytest
import skills_ref  # type: ignore[import-untyped]

from tests.support.space import BODY, Space, file, refusal

TEXT = f'---\nname: pdf-forms\ndescription: Fill in PDF forms.\nmetadata:\n  version: "1"\n---\n{BODY}'


async def test_it_is_the_fields_and_then_the_body(space: Space) -> None:
    created = await space.create()

    answer = await space.get("name/pdf-forms/skill-md")

    assert (answer.status_code, answer.text) == (200, TEXT)
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert created["skill_md"] == {"sha256": sha256(answer.content).hexdigest(), "size": len(answer.content)}
    assert created["frontmatter"] == ""


async def test_every_version_has_its_own(space: Space) -> None:
    await space.create(metadata={"team": "docs", "tags": [1, "x"]}, allowed_tools=["Read", "Bash(git log:*)"])
    second = await space.publish("pdf-forms", 1, license="MIT", body="Other: \u2028\r\n---\r\n")

    first = (await space.get("name/pdf-forms/skill-md/?version=1")).text
    latest = await space.get("name/pdf-forms/skill-md")

    assert (
        '\nallowed-tools: Read Bash(git log:*)\nmetadata:\n  team: docs\n  tags: "[1,\\"x\\"]"\n  version: "1"\n---\n'
        in first
    )
    assert "\nlicense: MIT\n" in latest.text
    assert latest.content.endswith(b'  version: "2"\n---\nOther: \xe2\x80\xa8\r\n---\r\n')
    assert second["skill_md"]["sha256"] == sha256(latest.content).hexdigest()


async def test_it_is_fetched_only_when_it_changed(space: Space) -> None:
    await space.create()

    answer = await space.get("name/pdf-forms/skill-md")
    fixed = await space.get("name/pdf-forms/skill-md?version=1")
    etag = answer.headers["etag"]
    again = await space.get("name/pdf-forms/skill-md", headers={"If-None-Match": etag})
    head = await space.at("HEAD", "llm_skills/name/pdf-forms/skill-md")

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", etag)
    assert head.headers["content-length"] == str(len(TEXT))
    assert answer.headers["cache-control"] == "private, no-cache"
    assert fixed.headers["cache-control"] == "private, no-cache", "the name in it may change"
    await space.publish("pdf-forms", 1, description="Other")
    assert (await space.get("name/pdf-forms/skill-md", headers={"If-None-Match": etag})).status_code == 200


async def test_the_past_has_its_own(space: Space) -> None:
    await space.create()
    position = await space.head()
    await space.publish("pdf-forms", 1, description="Other")

    then = await space.get(f"name/pdf-forms/skill-md?position={position}")
    assert then.text == TEXT
    [row] = (await space.get(f"?position={position}")).json()["results"]
    assert row["skill_md"]["sha256"] == sha256(then.content).hexdigest()


async def test_what_is_missing_is_told(space: Space) -> None:
    await space.create()

    assert refusal(await space.get("name/pdf-form/skill-md"))[:2] == (404, "not_found")
    assert refusal(await space.get("name/pdf-forms/skill-md?version=2"))[:2] == (404, "version_not_found")
    assert refusal(await space.get("name/pdf-forms/skill-md?version=0")) == (400, "min_value", "version")


async def test_the_digest_is_of_all_files(space: Space) -> None:
    await space.create(files=[file("b/c.txt", "c"), file("a.txt", "a"), file("Z", "z")])
    shown = await space.show()

    text = (await space.get("name/pdf-forms/skill-md")).content
    tree = {"SKILL.md": text, "Z": b"z", "a.txt": b"a", "b/c.txt": b"c"}
    listing = "".join(f"{sha256(data).hexdigest()}  {path}\n" for path, data in tree.items())

    assert shown["digest"] == f"sha256:{sha256(listing.encode()).hexdigest()}"
    renamed = await space.post("name/pdf-forms/files-rename", {"old_path": "Z", "new_path": "Y"})
    assert renamed.json()["digest"] != shown["digest"]


async def test_every_answer_describes_it(space: Space) -> None:
    created = await space.create(metadata={"n": 1}, body="[a](b.md)\n")
    described = {key: created[key] for key in ("digest", "skill_md", "spec_problems", "frontmatter")}

    [row] = (await space.get("")).json()["results"]
    resolved = (await space.get("resolve/name/pdf-forms")).json()["skill"]
    paged = (await space.get("name/pdf-forms?body_length=1")).json()

    assert [
        (problem["code"], problem["path"], problem["severity"]) for problem in created["spec_problems"]
    ] == [
        ("metadata_no_text", "SKILL.md", "warning"),
        ("missing_file", "b.md", "warning"),
    ]
    for shown in (await space.show(), row, resolved, paged):
        assert {key: shown[key] for key in described} == described


async def test_problems_go_when_they_are_solved(space: Space) -> None:
    created = await space.create(body="[a](b.md)\n")
    added = await space.post("name/pdf-forms/files", file("b.md"))

    assert [problem["code"] for problem in created["spec_problems"]] == ["missing_file"]
    assert added.json()["spec_problems"] == []


@pytest.mark.parametrize(
    "text", ["a: b --- c", "---", "- x", "yes", "a\nb\n---\nc: d", "\u2028x\u0085", "'\"\\"]
)
async def test_the_reference_validator_takes_it(space: Space, tmp_path: Path, text: str) -> None:
    await space.create(description=text, license=text, compatibility=text, metadata={text: text})

    path = tmp_path / "pdf-forms"
    path.mkdir()
    path.joinpath("SKILL.md").write_bytes((await space.get("name/pdf-forms/skill-md")).content)

    assert skills_ref.validate(path) == []
    assert skills_ref.read_properties(path).description == text.strip()
