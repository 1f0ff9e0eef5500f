"""`git fetch --shallow-exclude` got a bare HTTP 400; `git` shows its user only what comes as `ERR`."""

import pytest

from api.git import protocol as wire
from tests.support.gitting import Git, git

__all__ = ["git"]

HEAD = "0" * 40


@pytest.mark.parametrize(
    "argument", ["deepen-not refs/heads/main", "filter blob:none", "want-ref refs/heads/main"]
)
@pytest.mark.parametrize("version", [0, 2])
def test_the_answer_is_a_sentence(git: Git, argument: str, version: int) -> None:
    lines = [wire.line(b"want " + b"0" * 40), wire.line(argument.encode())]
    head = [wire.line(b"command=fetch"), wire.DELIM] if version == 2 else []
    with git.service.client(git.key, git.project_id) as http:
        answer = http.post(
            "llm_skills/marketplace.git/git-upload-pack",
            content=b"".join([*head, *lines, wire.FLUSH]),
            headers={
                "Content-Type": "application/x-git-upload-pack-request",
                "Git-Protocol": f"version={version}",
            },
        )
    assert answer.status_code == 200
    assert answer.content[4:].startswith(b"ERR " + argument.split()[0].encode() + b": this repository ")


def test_git_shows_it(git: Git) -> None:
    folder = git.clone("here")
    said = git.fail("fetch", "--shallow-exclude=refs/heads/main", cwd=folder, version=2)
    assert "use --depth or --shallow-since" in said
