"""``attr`` was ``files____1__path``: the empty name of the inner list got a separator of its own."""

from tests.support.space import Space, file, refusal, skill


async def test_a_path_given_twice_is_blamed_by_its_place(space: Space) -> None:
    for second in ("a", "a/b"):
        answer = await space.post(json=skill(files=[file("a"), file(second)]))
        assert refusal(answer)[2] == "files__1__path"
