"""The discovery index has no pages: all skills of a project, with all their paths, were read into one answer on the event loop."""

import logging

import pytest

from api.http import answers
from api.offload import offload
from projections.read import discovery
from tests.api.sharing.test_well_known import NEW, OLD, fetch, index, share
from tests.support.space import Space, file

NAMES = [f"skill-{number:02}" for number in range(12)]


async def fill(space: Space) -> None:
    for name in NAMES:
        await space.create(name, files=[file(f"{'p' * 400}.txt")])


@pytest.mark.parametrize("batch", [1, 5, 500])
async def test_all_are_found_however_they_are_read(
    space: Space, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(discovery, "READ_BATCH", batch)
    await fill(space)
    base = await share(space)
    for folder in (NEW, OLD):
        assert [entry["name"] for entry in (await index(space, base, folder))["skills"]] == NAMES


async def test_what_does_not_fit_is_left_out_and_told(
    space: Space, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(discovery, "MAX_INDEX", 4_000)
    await fill(space)
    base = await share(space)
    with caplog.at_level(logging.WARNING, discovery.__name__):
        for folder in (NEW, OLD):
            answer = await fetch(space, f"{base}/{folder}/index.json")
            found = [entry["name"] for entry in answer.json()["skills"]]
            assert found == NAMES[: len(found)]
            assert 3 <= len(found) < len(NAMES)
            assert len(answer.content) <= 4_000
    assert any("is full" in record.getMessage() for record in caplog.records)
    # What is not listed can be fetched all the same.
    assert (await fetch(space, f"{base}/{NEW}/{NAMES[-1]}/SKILL.md")).status_code == 200


async def test_a_large_one_is_made_beside_the_event_loop(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    async def noted(work: object, *args: object) -> object:
        made.append(1)
        return await offload(work, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(answers, "offload", noted)
    monkeypatch.setattr(answers, "SMALL", 1_000)
    await fill(space)
    base = await share(space)
    await index(space, base)
    assert len(made) == 3, "by artifact, by files, and the catalog"
    await index(space, base, OLD)
    assert len(made) == 3, "all are kept"
