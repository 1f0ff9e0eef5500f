"""A client of git shows its user in one line why there is no repository."""

from pathlib import Path

import pytest

from tests.support.gitting import Git
from tests.support.service import MakeService
from tests.support.space import skill


@pytest.mark.slow
def test_too_many_skills_are_said_in_one_line(make_service: MakeService, tmp_path: Path) -> None:
    service = make_service(settings={"SKALD_GIT_MAX_SKILLS": "1"})
    git = Git(service, tmp_path / "home")
    with service.client(git.key, git.project_id) as http:
        http.post("llm_skills/", json=skill("one")).raise_for_status()
        assert git("ls-remote", git.url)
        http.post("llm_skills/", json=skill("two")).raise_for_status()
    for version in (0, 1, 2):
        said = git.fail("ls-remote", git.url, version=version).strip()
        assert said == (
            "fatal: remote error: this project has 2 skills, and a git repository is made of at most 1; "
            "get single skills as ZIP archives"
        )
