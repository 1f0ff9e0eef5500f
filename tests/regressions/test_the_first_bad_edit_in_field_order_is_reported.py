"""A path without a file was reported before a bad edit of the body or of an earlier file, against the order of the fields."""

from tests.support.space import Space, file, refusal


async def test_the_first_bad_edit_in_field_order_is_reported(space: Space) -> None:
    await space.create(files=[file("a", "text")])
    bad, absent = [{"old": "nowhere", "new": ""}], {"path": "b", "edits": [{"old": "x", "new": ""}]}

    answer = await space.patch("pdf-forms", {"base_version": 1, "edits": bad, "file_edits": [absent]})
    assert refusal(answer) == (400, "edit_not_found", "edits__0__old")

    answer = await space.patch(
        "pdf-forms", {"base_version": 1, "file_edits": [{"path": "a", "edits": bad}, absent]}
    )
    assert refusal(answer) == (400, "edit_not_found", "file_edits__0__edits__0__old")

    answer = await space.patch(
        "pdf-forms", {"base_version": 1, "file_edits": [absent, {"path": "a", "edits": bad}]}
    )
    assert refusal(answer) == (400, "file_not_found", "file_edits__0__path")
