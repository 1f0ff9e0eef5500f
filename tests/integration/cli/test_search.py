"""`skald search`, as it is typed."""

from pathlib import Path

from tests.support.people import Person
from tests.support.service import MakeService


def test_it_says_where_things_are(make_service: MakeService, tmp_path: Path) -> None:
    service = make_service(followers=True)
    ada = Person(service, tmp_path)
    with service.client(ada.key, ada.project_id) as http:
        skill = {
            "name": "browser-tests",
            "description": "Runs\u001b[2J tests",
            "body": "# Tests\n\nchromium --no-sandbox\n",
            "files": [{"path": "run.sh", "content": "set -e\nfirefox\n"}],
        }
        http.post("llm_skills/", json=skill).raise_for_status()
        made = http.post("llm_prompts/", json={"name": "Tester", "prompt": "Run the tests\nin firefox."})
        made.raise_for_status()
        after = made.headers["x-event-position"]
        http.get("search/", params={"q": "tests", "after": after}).raise_for_status()

    assert ada.skald("search", "--no-sandbox").stdout.splitlines() == [
        "browser-tests  (skill, version 1)",
        "    SKILL.md:3: chromium --no-sandbox",
    ]
    assert ada.skald("search", "firefox", "--kind", "prompt").stdout.splitlines() == [
        "Tester  (prompt, version 1)",
        "    line 2: in firefox.",
    ]
    found = ada.json("search", "firefox", "-chromium", "--ever")
    assert [(hit["name"], hit["first_version"], hit["last_version"]) for hit in found["results"]] == [
        ("Tester", 1, 1)
    ]
    assert found["next_cursor"] is None
    described = ada.skald("search", "runs", "--in", "description").stdout
    assert "description: Runs" in described
    assert "\x1b" not in described
    nothing = ada.skald("search", '"no such phrase"')
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "nothing has" in nothing.stderr
    more = ada.skald("search", "tests", "--limit", "1")
    assert "there is more" in more.stderr
    refused = ada.json("search", "x" * 301, code=1)["error"]
    assert (refused["code"], refused["attr"]) == ("max_length", "q")
