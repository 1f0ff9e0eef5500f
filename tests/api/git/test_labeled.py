"""The repository of a share that serves a label, by the real ``git``: what has the label, and a commit for each move of it."""

import json
import time

import pytest

from tests.api.git.test_shared import Shared
from tests.support.gitting import Git, git

__all__ = ["git"]


class Labeled(Shared):
    """The same project, where ``live`` points to version 1 of ``pdf`` alone, and a share of what has it."""

    def __init__(self, git: Git) -> None:
        super().__init__(git)
        self.label("pdf", 1)
        self.share = self.http.post("llm_skills/shares/", json={"serve_label": "live"}).json()
        self.url = self.share["url"] + ".git"

    def label(self, name: str, version: int) -> None:
        self.http.put(f"llm_skills/name/{name}/labels/live", json={"version": version}).raise_for_status()


@pytest.fixture
def labeled(git: Git) -> Labeled:
    return Labeled(git)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_clone_has_what_has_the_label_and_nothing_else(git: Git, labeled: Labeled, version: int) -> None:
    folder = labeled.clone("labeled", version=version)
    assert git.files(folder).keys() == {"pdf/SKILL.md", "pdf/run.sh"}
    assert "# Draft" in (folder / "skills/pdf/SKILL.md").read_text()
    assert git.log(folder) == ["pdf: version 1"]
    assert json.loads((folder / "gemini-extension.json").read_bytes())["version"] == "1.0.1"
    came = labeled.objects(folder)
    assert not any(text in came for text in ("# Pages", "# Tables", "secret", "csv"))


def test_a_moved_label_is_a_commit_and_a_publish_is_none(git: Git, labeled: Labeled) -> None:
    folder = labeled.clone("labeled")
    before = git("rev-parse", "HEAD", cwd=folder)
    labeled.publish("pdf", 2, "# Forms\n")
    labeled.create("more", "# More\n")
    git("pull", "--quiet", "--ff-only", cwd=folder)
    assert git("rev-parse", "HEAD", cwd=folder) == before

    labeled.label("pdf", 3)
    labeled.label("csv", 1)
    labeled.http.delete("llm_skills/name/csv/labels/live").raise_for_status()
    labeled.label("more", 1)
    labeled.http.post("llm_skills/name/more/archive", json={}).raise_for_status()
    git("pull", "--quiet", "--ff-only", cwd=folder)
    git.check(folder)
    assert git.log(folder)[::-1] == [
        "pdf: version 1",
        "pdf: version 3",
        "csv: version 1",
        "csv: without the label",
        "more: version 1",
        "more: archived",
    ]
    assert git.files(folder).keys() == {"pdf/SKILL.md", "pdf/run.sh"}
    assert "# Forms" in (folder / "skills/pdf/SKILL.md").read_text()
    assert "# Pages" not in labeled.objects(folder)
    fresh = labeled.clone("fresh")
    assert git.log(fresh) == ["more: archived"]
    assert git("rev-parse", "HEAD", cwd=fresh) == git("rev-parse", "HEAD", cwd=folder)


def test_a_renamed_skill_moves_and_keeps_the_label(git: Git, labeled: Labeled) -> None:
    folder = labeled.clone("labeled")
    labeled.http.post("llm_skills/name/csv/rename", json={"new_name": "tsv"}).raise_for_status()
    labeled.http.post("llm_skills/name/pdf/rename", json={"new_name": "forms"}).raise_for_status()
    git("pull", "--quiet", "--ff-only", cwd=folder)
    assert git.log(folder) == ["forms: renamed from pdf", "pdf: version 1"]
    assert git.files(folder).keys() == {"forms/SKILL.md", "forms/run.sh"}


def test_a_yanked_version_is_away_until_it_comes_back_or_the_label_moves(git: Git, labeled: Labeled) -> None:
    folder = labeled.clone("labeled")
    # The other version that it has, so that none of the project's own tree changes.
    labeled.http.post("llm_skills/name/pdf/versions/1/yank", json={"reason": "x"}).raise_for_status()
    labeled.http.post("llm_skills/name/pdf/versions/1/unyank", json={}).raise_for_status()
    labeled.http.post("llm_skills/name/pdf/versions/1/yank", json={"reason": "x"}).raise_for_status()
    labeled.label("pdf", 2)
    git("pull", "--quiet", "--ff-only", cwd=folder)
    git.check(folder)
    assert git.log(folder)[::-1] == [
        "pdf: version 1",
        "pdf: yanked",
        "pdf: version 1",
        "pdf: yanked",
        "pdf: version 2",
    ]
    assert git.files(labeled.clone("fresh")).keys() == git.files(folder).keys()


def test_the_address_with_a_key_and_other_shares_stay_as_they_are(git: Git, labeled: Labeled) -> None:
    own = git.log(git.clone("own"))
    labeled.clone("labeled")
    other = labeled.http.post("llm_skills/shares/", json={}).json()
    assert git.files(labeled.clone("all", url=other["url"] + ".git")).keys() > {"csv/SKILL.md"}
    assert git.log(git.clone("again")) == own


def test_a_clone_is_a_read_of_the_versions_that_have_the_label(git: Git, labeled: Labeled) -> None:
    labeled.clone("labeled")
    watcher = git.service.client(git.service.make_key(("usage:read",)), git.project_id)
    expected = [("pdf", 1, labeled.share["id"])]
    deadline = time.monotonic() + 30
    found: list[tuple[str, int, str]] = []
    while found != expected:
        assert time.monotonic() < deadline, found
        rows = watcher.get("usage/readers/").raise_for_status().json()["results"]
        found = [(row["name"], row["version"], row["share_id"]) for row in rows]
