"""What has become of versions that a lock file names."""

from typing import Any

from tests.support.space import NewSpace, Space, refusal


async def check(space: Space, *pins: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await space.ok(200, await space.post("check", {"pins": list(pins)}))
    assert list(answer) == ["results"]
    found: list[dict[str, Any]] = answer["results"]
    return found


def pin(version: dict[str, Any]) -> dict[str, Any]:
    return {key: version[key] for key in ("name", "version", "digest")}


async def test_each_says_what_has_become_of_it(space: Space, new_space: NewSpace) -> None:
    pins = {}
    for name in ("same", "behind", "bad", "called", "gone"):
        pins[name] = pin(await space.create(name))
    position = await space.head()
    await space.publish("behind", 1, body="# Two\n")
    await space.publish("bad", 1, body="# Two\n")
    await space.ok(200, await space.post("name/bad/versions/1/yank", {"reason": "wrong"}))
    await space.ok(200, await space.post("name/called/rename", {"new_name": "named"}))
    await space.post("name/gone/archive")
    head = await space.head()

    found = await check(
        space, *pins.values(), {"name": "same", "version": 9}, {"name": "No name", "version": 1}
    )
    assert [(one["name"], one["states"]) for one in found] == [
        ("same", []),
        ("behind", ["newer"]),
        ("bad", ["newer", "yanked"]),
        ("called", ["drifted", "renamed"]),
        ("gone", ["missing"]),
        ("same", ["missing"]),
        ("No name", ["missing"]),
    ]
    same, behind, bad, called, gone, later, _ = found
    assert same == {
        **pins["same"],
        "states": [],
        "latest_version": 1,
        "position": position - 4,
        "renamed_to": None,
        "yanked": None,
    }
    assert (behind["latest_version"], bad["yanked"]["reason"], called["renamed_to"]) == (2, "wrong", "named")
    assert [gone["latest_version"], gone["position"], later["latest_version"], later["digest"]] == [
        None,
        None,
        1,
        None,
    ]
    [drifted] = await check(space, {**pins["same"], "digest": pins["behind"]["digest"][:-2] + "00"})
    assert drifted["states"] == ["drifted"]
    assert await space.head() == head
    other = await new_space()
    assert [one["states"] for one in await check(other, pins["same"])] == [["missing"]]


async def test_it_is_bounded(space: Space) -> None:
    one = {"name": "x", "version": 1}
    assert len(await check(space, *[one] * 100)) == 100
    for pins, expected in (
        ([one] * 101, ("max_length", "pins")),
        ([], ("min_length", "pins")),
        ([{"name": "x" * 65, "version": 1}], ("max_length", "pins__0__name")),
        ([{"name": "a\0", "version": 1}], ("null_characters_not_allowed", "pins__0__name")),
        ([one, {"name": "x", "version": 0}], ("min_value", "pins__1__version")),
        ([{"name": "x"}], ("required", "pins__0__version")),
        ([{**one, "digest": "sha256:x"}], ("invalid_digest", "pins__0__digest")),
    ):
        answer = await space.post("check", {"pins": pins})
        found = refusal(answer)
        assert found[0] == 400
        assert found[1:] == expected or (found[2], expected[0]) == (expected[1], "min_length")
    assert refusal(await space.post("check", {}))[1:] == ("required", "pins")


async def test_reading_is_enough(new_space: NewSpace) -> None:
    assert await check(await new_space(scopes=("llm_skill:read",)), {"name": "x", "version": 1})
    other = await new_space(scopes=("llm_prompt:write",))
    assert refusal(await other.post("check", {"pins": []}))[:2] == (403, "permission_denied")
