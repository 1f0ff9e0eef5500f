"""Archive takes no field, and so took any body at all: text, broken JSON, a list."""

from tests.support.space import Space, refusal


async def test_an_archive_with_a_body_that_is_no_json_is_refused(space: Space) -> None:
    await space.create()
    before = await space.head()

    answer = await space.post("name/pdf-forms/archive", content="x", headers={"Content-Type": "text/plain"})
    assert refusal(answer)[0] == 415
    answer = await space.post("name/pdf-forms/archive", json=["x"])
    assert refusal(answer)[:2] == (400, "parse_error")
    assert await space.head() == before

    assert (await space.post("name/pdf-forms/archive", json={"name": "ignored"})).status_code == 204
