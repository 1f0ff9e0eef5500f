"""`skald list`, `show`, `log` and `diff`, as they are typed."""

import json
from pathlib import Path

import pytest

from tests.support.people import Person
from tests.support.service import Service


@pytest.fixture
def ada(running_service: Service, tmp_path: Path) -> Person:
    """Two versions of a skill, and a prompt."""
    person = Person(running_service, tmp_path)
    with running_service.client(person.key, person.project_id) as http:
        skill = {
            "name": "release-notes",
            "description": "Writes\u001b[2J release notes",
            "body": "# Notes\n\nList what changed.\n",
            "files": [{"path": "references/style.md", "content": "Short.\r\n"}],
        }
        http.post("llm_skills/", json=skill).raise_for_status()
        edits = [{"old": "what changed", "new": "what changed for users"}]
        http.patch(
            "llm_skills/name/release-notes", json={"base_version": 1, "edits": edits}
        ).raise_for_status()
        http.post("llm_prompts/", json={"name": "Helper", "prompt": [{"content": "Hi"}]}).raise_for_status()
    return person


def test_list_tells_names_and_versions_and_no_control_characters(ada: Person) -> None:
    head, row = ada.skald("list").stdout.splitlines()
    assert head.split() == ["name", "version", "changed", "by", "description"]
    assert row.split()[:2] == ["release-notes", "2"]
    assert "\x1b" not in row
    found = ada.json("list", "--search=RELEASE")
    assert [(skill["name"], skill["latest_version"]) for skill in found["results"]] == [("release-notes", 2)]
    assert ada.json("list", "--search=zzz")["count"] == 0
    assert ada.json("list", "--kind=prompt")["results"][0]["name"] == "Helper"


def test_show_gives_texts_and_the_exact_bytes_of_files(ada: Person) -> None:
    shown = ada.skald("show", "release-notes").stdout
    assert "2 of 2" in shown
    assert "references/style.md" in shown
    assert shown.endswith("# Notes\n\nList what changed for users.\n")
    assert ada.skald("show", "release-notes", "--version=1").stdout.endswith("List what changed.\n")
    assert ada.json("show", "release-notes")["version"] == 2
    assert ada.raw("show", "release-notes", "--file=references/style.md") == b"Short.\r\n"
    whole = ada.skald("show", "release-notes", "--file=SKILL.md", "--version=1").stdout
    assert whole.startswith("---\nname: release-notes\n")
    assert whole.endswith("---\n# Notes\n\nList what changed.\n")
    assert json.loads(ada.skald("show", "Helper", "--kind=prompt").stdout.split("\n\n", 1)[1]) == [
        {"content": "Hi"}
    ]


def test_log_tells_what_happened_newest_first(ada: Person) -> None:
    lines = ada.skald("log", "release-notes").stdout.splitlines()
    versions = [line for line in lines if line.startswith("version")]
    assert [(line.split()[1], line.split()[-1]) for line in versions] == [
        ("2", "published"),
        ("1", "created"),
    ]
    assert ada.json("log", "release-notes", "--limit=1")["count"] == 2


def test_diff_compares_versions(ada: Person) -> None:
    for arguments in (["release-notes"], ["release-notes", "1"], ["release-notes", "1", "2"]):
        shown = ada.skald("diff", *arguments).stdout.splitlines()
        assert "-List what changed." in shown
        assert "+List what changed for users." in shown
    assert ada.json("diff", "release-notes", "1", "2")["to"]


def test_diff_compares_a_folder_with_the_service(ada: Person) -> None:
    folder = ada.write_skill("release-notes", "# Notes\n\nList what changed for users.\nAnd when.\n")
    shown = ada.skald("diff", "./skills/release-notes").stdout
    assert "+And when.\n" in shown
    assert "-Short." in shown
    compared = ada.json("diff", str(folder))
    assert (compared["equal"], compared["files"]["removed"]) == (False, ["references/style.md"])
    assert ada.json("diff", str(folder), "1")["version"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["show", "release-note"], "not_found", "Did you mean release-notes?"),
        (["show", "release-notes", "--version=7"], "version_not_found", "There are: 2, 1."),
        (["show", "release-notes", "--file=style.md"], "not_found", "style.md"),
        (["log", "../users/@me"], "not_found", ""),
        (["diff", "release-notes", "1", "9"], "version_not_found", "9"),
        (["diff", "./nowhere"], "usage", "no folder"),
    ],
)
def test_errors_say_what_is_wrong_in_one_line(
    ada: Person, arguments: list[str], code: str, says: str
) -> None:
    done = ada.skald(*arguments, "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (1, code)
    assert says in error["detail"]
    assert done.stderr == f"skald: {error['detail']}\n"
