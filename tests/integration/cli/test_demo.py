"""`skald demo`: examples with a history, made once."""

import json
import os
import subprocess
from typing import Any

from cli.operator.demo import load
from tests.support import commands
from tests.support.servers import free_port
from tests.support.service import Service


def demo(service: Service, *arguments: str) -> "subprocess.CompletedProcess[str]":
    shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
    return commands.run("demo", *arguments, env={**shown, "SKALD_DATABASE_URL": service.database_url})


def fill(service: Service, project_id: int) -> Any:
    done = demo(service, f"--project={project_id}", f"--url={service.base_url}", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_it_fills_a_project_and_a_second_run_changes_nothing(running_service: Service) -> None:
    project_id = running_service.make_project().id
    names = [artifact.name for artifact in load().artifacts]

    assert fill(running_service, project_id) == {"project": project_id, "made": names, "there": []}

    key = running_service.make_key(
        ("llm_skill:read", "llm_prompt:read", "event:read"), project_ids=[project_id]
    )
    with running_service.client(key, project_id) as http:
        skill = http.get("llm_skills/name/code-review").json()
        assert skill["version"] == 4
        assert [file["path"] for file in skill["files"]] == [
            "references/severity.md",
            "scripts/changed_lines.sh",
        ]
        assert skill["spec_problems"] == []
        blamed = http.get("llm_skills/name/code-review/blame/").json()["lines"]
        assert {line["created_by"]["first_name"] for line in blamed} == {"Ada", "Grace"}
        assert [row["name"] for row in http.get("llm_skills/archived/").json()["results"]] == [
            "deploy-by-hand"
        ]
        prompt = http.get("llm_prompts/name/ticket-triage?label=production").json()
        assert (prompt["version"], sorted(prompt["labels"])) == (2, ["production", "staging"])
        head = http.get("events/").json()["results"][-1]

        assert fill(running_service, project_id) == {"project": project_id, "made": [], "there": names}
        assert http.get("events/").json()["results"][-1] == head
        assert http.get("llm_skills/").json()["count"] == 4


def test_a_run_that_was_cut_off_goes_on_and_what_is_there_stays(running_service: Service) -> None:
    project_id = running_service.make_project().id
    [review] = [artifact for artifact in load().artifacts if artifact.name == "code-review"]
    with running_service.client(project_id=project_id) as http:
        for request in review.requests[:2]:
            http.request(request.method, f"llm_skills/{request.path}", json=request.body).raise_for_status()
        own = {"name": "sql-style", "description": "Ours.", "body": "Ours.\n"}
        http.post("llm_skills/", json=own).raise_for_status()

        answer = fill(running_service, project_id)

        assert "sql-style" in answer["there"]
        assert "code-review" in answer["made"]
        assert http.get("llm_skills/name/code-review").json()["version"] == 4
        assert http.get("llm_skills/name/sql-style").json()["body"] == "Ours.\n"


def test_without_a_service_it_says_how_to_start_one(running_service: Service) -> None:
    shown = {"SKALD_PORT": str(free_port())}
    done = commands.run(
        "demo", env={**os.environ, "SKALD_DATABASE_URL": running_service.database_url, **shown}
    )

    assert done.returncode == 1
    assert "start it by `make run`" in done.stderr


def test_a_project_that_is_not_there_is_named(running_service: Service) -> None:
    done = demo(running_service, "--project=987654", f"--url={running_service.base_url}")

    assert (done.returncode, done.stderr) == (1, "skald: There is no project 987654.\n")
