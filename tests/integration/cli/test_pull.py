"""`skald pull`: skills become folders, and what is in those folders already is safe."""

import json
from pathlib import Path

import pytest

from tests.support.people import Person, outcomes
from tests.support.service import Service


@pytest.fixture
def ada(running_service: Service, tmp_path: Path) -> Person:
    """Somebody with two skills in the project."""
    person = Person(running_service, tmp_path)
    person.write_skill("one", files={"lib/a.txt": b"a", "b.txt": b"b"}, folder="source/one")
    person.write_skill("two", folder="source/two")
    person.json("push", "source")
    return person


def publish(ada: Person, **changes: object) -> None:
    with ada.service.client(ada.key, ada.project_id) as http:
        latest = http.get("llm_skills/name/one").json()["version"]
        http.patch("llm_skills/name/one", json={"base_version": latest, **changes}).raise_for_status()


def test_without_names_everything_comes_and_later_what_is_new_of_it(ada: Person) -> None:
    assert ada.json("pull", "--dir=out")["summary"] == {"written": 2}
    assert ada.json("pull", "--dir=out")["summary"] == {"unchanged": 2}
    one = ada.work / "out" / "one"
    (one / "notes.txt").write_text("mine")
    publish(ada, body="# New\n", files=[{"path": "c.txt", "content": "c"}])

    done = ada.skald("pull", "--dir=out")

    assert done.stdout == "one: updated, version 2\n1 updated, 1 unchanged\n"
    found = sorted(path.relative_to(one).as_posix() for path in one.rglob("*"))
    assert found == ["SKILL.md", "c.txt", "notes.txt"]
    state = json.loads((ada.work / "out" / ".skald.json").read_text())
    assert state["skills"]["one"]["version"] == 2
    assert ada.key not in json.dumps(state)


def test_names_and_versions_are_chosen(ada: Person) -> None:
    publish(ada, body="# New\n")
    assert ada.json("pull", "one", "--version=1", "--dir=out")["skills"][0]["version"] == 1
    assert (ada.work / "out/one/SKILL.md").read_text().endswith("Do it.\n")
    # What is there is kept up to date; the others were not asked for.
    assert ada.json("pull", "--dir=out")["summary"] == {"updated": 1}
    assert ada.json("pull", "--dir=out", "--all")["summary"] == {"unchanged": 1, "written": 1}
    wrong = ada.json("pull", "one", "three", "--dir=out", code=1)
    assert wrong["summary"] == {"not_found": 1, "unchanged": 1}
    assert "Did you mean two" in ada.skald("pull", "twoo", "--dir=out").stderr
    assert ada.json("pull", "one", "two", "--version=1", code=1)["error"]["code"] == "usage"


def label(ada: Person, name: str, label: str, version: int) -> None:
    with ada.service.client(ada.key, ada.project_id) as http:
        http.put(f"llm_skills/name/{name}/labels/{label}", json={"version": version}).raise_for_status()


def test_a_label_is_pulled_and_followed(ada: Person) -> None:
    publish(ada, body="# New\n")
    label(ada, "one", "live", 1)
    label(ada, "two", "live", 1)

    assert ada.json("pull", "one@live", "--dir=out")["skills"][0]["version"] == 1
    assert json.loads((ada.work / "out/.skald.json").read_text())["skills"]["one"]["label"] == "live"
    assert ada.json("pull", "--dir=out")["summary"] == {"unchanged": 1}
    label(ada, "one", "live", 2)
    assert ada.json("pull", "--dir=out")["skills"][0]["version"] == 2
    label(ada, "one", "live", 1)
    both = ada.json("pull", "one@live", "two@live", "--dir=out")
    assert [(each["name"], each["version"]) for each in both["skills"]] == [("one", 1), ("two", 1)]
    assert ada.json("pull", "one", "--dir=out")["skills"][0]["version"] == 2
    assert "label" not in json.loads((ada.work / "out/.skald.json").read_text())["skills"]["one"]


def test_a_label_that_is_not_there_leaves_the_folder_alone(ada: Person) -> None:
    label(ada, "one", "live", 1)
    ada.json("pull", "one@live", "two", "--dir=out")
    with ada.service.client(ada.key, ada.project_id) as http:
        http.delete("llm_skills/name/one/labels/live").raise_for_status()

    assert ada.json("pull", "--dir=out", code=1)["summary"] == {"not_found": 1, "unchanged": 1}
    assert (ada.work / "out/one/SKILL.md").exists()
    assert ada.json("pull", "one@live", "--dir=other", code=1)["skills"][0]["outcome"] == "not_found"
    assert ada.json("pull", "one@live", "--version=1", code=1)["error"]["code"] == "usage"
    assert ada.json("pull", "one@", code=1)["error"]["code"] == "usage"


def test_what_was_changed_here_is_not_overwritten(ada: Person) -> None:
    ada.json("pull", "--dir=out")
    file = ada.work / "out/one/SKILL.md"
    file.write_text(file.read_text() + "Mine.\n")
    assert ada.json("pull", "--dir=out")["summary"] == {"edited": 1, "unchanged": 1}
    publish(ada, body="# New\n")

    refused = ada.skald("pull", "--dir=out")

    assert refused.returncode == 1
    assert "one: left alone, these would be lost: SKILL.md" in refused.stderr
    assert file.read_text().endswith("Mine.\n")
    assert ada.json("pull", "--dir=out", "--force")["summary"] == {"updated": 1, "unchanged": 1}
    assert file.read_text().endswith("---\n# New\n")


def test_a_skill_may_be_larger_than_what_is_sent_as_one_archive(ada: Person) -> None:
    publish(ada, files=[{"path": f"{n}.txt", "content": "a" * 1_000_000} for n in range(25)])
    with ada.service.client(ada.key, ada.project_id) as http:
        for number in range(25, 35):
            file = {"path": f"{number}.txt", "content": "b" * 1_000_000}
            http.post("llm_skills/name/one/files/", json=file).raise_for_status()

    assert ada.json("pull", "one", "--dir=out")["summary"] == {"written": 1}

    sizes = [path.stat().st_size for path in (ada.work / "out/one").glob("*.txt")]
    assert sizes == [1_000_000] * 35


def test_a_folder_that_no_pull_wrote_is_left_alone(ada: Person) -> None:
    ada.write_skill("one", "# Mine\n", folder="out/one")
    assert ada.json("pull", "one", "--dir=out", code=1)["summary"] == {"changed_here": 1}
    assert (ada.work / "out/one/SKILL.md").read_text().endswith("# Mine\n")
    assert not (ada.work / "out/one/b.txt").exists()


def test_a_dry_run_writes_nothing(ada: Person) -> None:
    assert ada.json("pull", "--dir=out", "--dry-run")["summary"] == {"written": 2}
    assert not (ada.work / "out").exists()


def test_the_folder_of_another_project_is_refused(ada: Person, tmp_path: Path) -> None:
    ada.json("pull", "--dir=out")
    bob = Person(ada.service, tmp_path / "bob")
    (bob.work / "out").symlink_to(ada.work / "out")
    assert bob.json("pull", "--dir=out", code=1)["error"]["code"] == "other_service"


def test_the_project_of_the_key_is_the_same_by_its_number(ada: Person) -> None:
    number = ada.env.pop("SKALD_PROJECT")
    assert ada.json("pull", "--dir=out")["summary"] == {"written": 2}
    assert ada.json("pull", "--dir=out", f"--project={number}")["summary"] == {"unchanged": 2}


def test_a_skill_that_is_archived_is_told_and_its_folder_stays(ada: Person) -> None:
    ada.json("pull", "--dir=out")
    with ada.service.client(ada.key, ada.project_id) as http:
        http.post("llm_skills/name/two/archive").raise_for_status()
    done = ada.skald("pull", "--dir=out")
    assert (done.returncode, "two: no longer in the project" in done.stderr) == (0, True)
    assert (ada.work / "out/two/SKILL.md").exists()


def test_a_renamed_skill_is_told_and_not_made_anew(ada: Person) -> None:
    ada.write_skill("old")
    ada.json("push", "skills")
    ada.json("pull", "old", "--dir", "mine")
    ada.skald("rename", "old", "newer")

    pulled = ada.skald("pull", "--dir", "mine")
    assert "old: is named 'newer' now" in pulled.stderr
    [row] = ada.json("pull", "--dir", "mine")["skills"]
    assert (row["outcome"], row["error"]["renamed_to"]) == ("gone", "newer")
    assert (ada.work / "mine/old/SKILL.md").exists()
    [row] = ada.json("push", "mine", code=1)["skills"]
    assert (row["outcome"], row["error"]["code"], row["error"]["renamed_to"]) == (
        "conflict",
        "renamed",
        "newer",
    )
    assert "old" not in [row["name"] for row in ada.json("list")["results"]]
    # By the old name, what is named otherwise now.
    assert outcomes(ada.json("pull", "old", "--dir", "mine")) == {"newer": "written"}
    text = (ada.work / "mine/newer/SKILL.md").read_text()
    assert text.startswith("---\nname: newer\n")
    assert outcomes(ada.json("push", "mine/old", "--force")) == {"old": "created"}
