"""Reasons and sources held control characters, which lists and terminals show; a comment may have several lines."""

from typing import Any

import pytest

from tests.support.governing import another, with_scopes
from tests.support.space import Space, refusal

TEXTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("POST", "llm_skills/name/pdf-forms/versions/1/yank", {}, "reason"),
    ("PUT", "mirror", {}, "source"),
    ("POST", "llm_skills/shares", {}, "label"),
]


async def test_a_line_holds_no_control_characters(space: Space) -> None:
    full = await with_scopes(space, ["*"])
    await full.create()
    head = await full.head()
    for method, path, more, field in TEXTS:
        for char in ("\n", "\x1b", "\x85", "\u2028"):
            answer = await full.at(method, path, json={**more, field: f"a{char}b"})
            assert refusal(answer) == (400, "invalid_input", field), (path, char)
    assert await full.head() == head


@pytest.mark.parametrize("said", ["Zwei Zeilen – nie", "👩‍👩‍👧 \u202bשלום\u202c"])
async def test_what_is_no_control_character_may_stand_in_it(space: Space, said: str) -> None:
    await space.create()
    await space.publish("pdf-forms", 1, body="Two.\n")
    answer = await space.post("name/pdf-forms/versions/1/yank", {"reason": f" \n{said}\t"})
    assert (await space.ok(200, answer))["yanked"]["reason"] == said


async def test_notes_and_comments_may_have_several_lines(space: Space) -> None:
    full = await with_scopes(space, ["*"])
    await full.create()
    await full.publish("pdf-forms", 1, body="Two.\n")
    asked = await full.post(
        "name/pdf-forms/promotions", {"label": "live", "version": 2, "note": "First.\n\nThen."}
    )
    promotion = await full.ok(201, asked)
    assert promotion["note"] == "First.\n\nThen."
    answer = await (await another(space)).at(
        "POST", f"promotions/{promotion['id']}/approve", json={"comment": "Yes.\n\n- as it is"}
    )
    assert [one["comment"] for one in (await full.ok(200, answer))["approvals"]] == ["Yes.\n\n- as it is"]
