"""The file path was cut off behind the first ``/files/`` of the address, which may be the name of the skill."""

from tests.support.space import Space, file


async def test_a_skill_named_files_gives_its_own_files(space: Space) -> None:
    await space.create("files", files=[file("x", "top"), file("files/x", "below")])

    assert (await space.get("name/files/files/x")).json()["content"] == "top"
    assert (await space.get("name/files/files/files/x")).json()["content"] == "below"
    assert (await space.get("name/files/files/files%2Fx")).json()["content"] == "below"
    assert (await space.delete("name/files/files/x")).json()["files"][0]["path"] == "files/x"
