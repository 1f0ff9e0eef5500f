"""`skald blame`, `revert`, `rename`, `archive`, `unarchive`, `label` and `audit`, as they are typed."""

from pathlib import Path

import pytest

from tests.support.people import Person
from tests.support.service import Service


@pytest.fixture
def ada(running_service: Service, tmp_path: Path) -> Person:
    """A skill with two versions and a prompt."""
    person = Person(running_service, tmp_path, scopes=("llm_skill:write", "llm_prompt:write", "event:read"))
    with running_service.client(person.key, person.project_id) as http:
        skill = {"name": "notes", "description": "d", "body": "one\ntwo\n"}
        http.post("llm_skills/", json=skill).raise_for_status()
        http.patch(
            "llm_skills/name/notes", json={"base_version": 1, "body": "one\n\ttw\u202eo\x1b\n"}
        ).raise_for_status()
        http.post("llm_prompts/", json={"name": "My_Helper", "prompt": "Hi"}).raise_for_status()
    return person


def test_lines_have_their_authors_and_a_version_comes_back(ada: Person) -> None:
    first, second = ada.skald("blame", "notes").stdout.splitlines()
    assert (first.split()[0], first.split()[-1]) == ("1", "one")
    assert (second.split()[0], second.split()[-1]) == ("2", "tw\\u202eo\\x1b")
    assert first.split()[2].endswith("Z")
    assert ada.skald("revert", "notes", "1").stdout == "notes: version 3 is equal to version 1\n"
    assert ada.get("name/notes")["body"] == "one\ntwo\n"
    assert ada.json("revert", "notes", "9", code=1)["error"]["code"] == "version_not_found"


def test_what_is_archived_is_listed_and_comes_back(ada: Person) -> None:
    for kind, name in (("skill", "notes"), ("prompt", "My_Helper")):
        assert ada.skald("archive", name, "--kind", kind).stdout == f"{name}: archived\n"
        assert ada.json("list", "--kind", kind)["count"] == 0
        [row] = ada.json("unarchive", "--kind", kind)["results"]
        assert name in ada.skald("unarchive", "--kind", kind).stdout
        assert ada.json("unarchive", name, "--kind", kind, "--id", row["id"])["name"] == name
        assert ada.json("unarchive", name, "--kind", kind, code=1)["error"]["code"]
        assert ada.json("list", "--kind", kind)["count"] == 1


def test_a_name_is_changed_and_the_old_one_still_reads(ada: Person) -> None:
    for kind, name, new_name in (("skill", "notes", "papers"), ("prompt", "My_Helper", "Your_Helper")):
        of_kind = ("--kind", kind)
        assert ada.skald("rename", name, new_name, *of_kind).stdout == f"{name}: is named {new_name} now\n"
        assert ada.json("show", name, *of_kind)["name"] == new_name
        assert ada.json("show", name, "--version", "1", *of_kind)["version"] == 1
        assert f"renamed {name} to {new_name}\n" in ada.skald("log", name, *of_kind).stdout
        refused = ada.json("rename", name, "other", *of_kind, code=1)["error"]
        assert (refused["code"], refused["renamed_to"]) == ("not_found", new_name)
        assert refused["detail"] == f"The {kind} '{name}' is named '{new_name}' now."


def test_a_label_is_set_shown_and_removed(ada: Person) -> None:
    assert ada.skald("label", "My_Helper", "production", "1").stdout == "My_Helper: production is version 1\n"
    assert [row["name"] for row in ada.json("label", "My_Helper")["labels"]] == ["production"]
    assert "production  1" in ada.skald("label", "My_Helper").stdout
    assert ada.json("label", "My_Helper", "production", code=2)["error"]["code"] == "usage"
    assert ada.json("label", "My_Helper", "production", "--remove")["removed"] is True
    assert ada.json("label", "My_Helper")["labels"] == []


def test_labels_of_a_skill_and_of_a_prompt_of_its_name(ada: Person) -> None:
    assert ada.skald("label", "notes", "production", "1").stdout == "notes: production is version 1\n"
    assert ada.get("name/notes?label=production")["version"] == 1
    with ada.service.client(ada.key, ada.project_id) as http:
        http.post("llm_prompts/", json={"name": "notes", "prompt": "Hi"}).raise_for_status()
    both = ada.json("label", "notes", code=1)["error"]
    assert (both["code"], "--kind" in both["detail"]) == ("usage", True)
    [label] = ada.json("label", "notes", "--kind", "skill")["labels"]
    assert (label["name"], label["version"]) == ("production", 1)
    assert ada.json("label", "notes", "--kind", "prompt")["labels"] == []
    assert ada.json("label", "nothing", code=1)["error"]["code"] == "not_found"
    assert ada.json("label", "notes", "production", "--remove", "--kind", "skill")["removed"] is True


def test_the_audit_tells_who_did_what(ada: Person) -> None:
    rows = ada.json("audit", "--subject=skill/notes")["results"]
    assert [row["type"] for row in rows] == ["skald.skill.created.v1", "skald.skill.published.v1"]
    assert ada.json("audit", "--subject=skill/notes", "--limit=1")["results"] == rows[:1]
    author = str(rows[0]["actor"])
    shown = ada.skald("audit", "--subject=skill/notes").stdout.splitlines()
    assert {line.split()[3] for line in shown[1:]} == {author}
    of_the_key = ada.skald("audit", "--type=skald.key.created.v1").stdout.splitlines()
    assert of_the_key[1].split()[3] == "(host)"
    assert [line.split()[-2:] for line in shown[1:]] == [
        ["skill.created", "skill/notes"],
        ["skill.published", "skill/notes"],
    ]


def test_tags_are_added_shown_and_removed(ada: Person) -> None:
    for kind, name in (("skill", "notes"), ("prompt", "My_Helper")):
        assert ada.skald("tag", name, "--kind", kind).stdout == f"{name}: no tags\n"
        assert ada.skald("tag", name, "Work", "docs", "--kind", kind).stdout == f"{name}: docs, work\n"
        assert ada.json("tag", name, "more", "--kind", kind)["tags"] == ["docs", "more", "work"]
        assert ada.json("tag", name, "WORK", "more", "--remove", "--kind", kind)["tags"] == ["docs"]
        assert ada.json("list", "--tag", "docs", "--kind", kind)["count"] == 1
        assert ada.json("list", "--tag", "docs", "--tag", "none", "--kind", kind)["count"] == 0
        assert "tags: docs\n" in ada.skald("log", name, "--kind", kind).stdout
        assert "docs" in ada.skald("show", name, "--kind", kind).stdout
    assert ada.json("tag", "notes", "a,b", code=1)["error"]["code"] == "invalid_tag"


def test_owners_are_added_shown_and_removed(ada: Person) -> None:
    [me] = ada.json("owner", "notes")["owners"]
    other = ada.service.make_user()
    ada.service.make_key(project_ids=[ada.project_id], email=other.email)
    assert f"<{me['email']}>" in ada.skald("owner", "notes").stdout
    both = ada.json("owner", "notes", other.email.upper())["owners"]
    assert [one["email"] for one in both] == [me["email"], other.email]
    assert ada.json("list", "--owner", other.email)["count"] == 1
    assert ada.json("owner", "notes", me["email"], "--remove")["owners"] == both[1:]
    assert ada.json("list", "--owner", me["email"])["count"] == 0
    assert f"owners: user {other.id}\n" in ada.skald("log", "notes").stdout
    assert ada.skald("owner", "notes", other.email, "--remove").stdout == "notes: no owner\n"
    assert ada.json("owner", "notes", "nobody@example.com", code=1)["error"]["code"] == "not_found"
