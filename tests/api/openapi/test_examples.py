"""A request that is made of all examples of its operation at once, as tools do it, works."""

from typing import Any

import httpx
import pytest

from tests.api.openapi.test_document import OPERATIONS
from tests.support.archives import packed
from tests.support.document import DOCUMENT
from tests.support.service import Service

ENDLESS = "events_stream"
# No project is public here, and there is no such user, delivery, promotion or upload: what is right, and not there, is the only refusal.
ABSENT = {
    "public_skills_catalog_retrieve",
    "public_skills_index_retrieve",
    "public_skills_archive_retrieve",
    "public_skills_file_retrieve",
    "public_skills_legacy_index_retrieve",
    "public_skills_legacy_file_retrieve",
    "audit_list",
    "clawhub_skills_create",
    "webhooks_deliveries_redeliver_create",
    *(one for one in OPERATIONS if one.endswith(("_approve_create", "_reject_create", "_withdraw_create"))),
}


class Stage:
    """A project with skills, prompts, a label policy, a mirror of its own key, a share and a webhook, named as in the examples."""

    def __init__(self, service: Service) -> None:
        project = service.make_project()
        self.client = service.client(service.make_key(["*"], [project.id]), project.id)
        self.values = {"project_id": str(project.id)}
        for path, schema in (("llm_skills/", "CreateSkill"), ("llm_prompts/", "CreatePrompt")):
            self.send("POST", path, examples_of(schema)[0])
        for artifact in ("llm_skills/name/pdf-forms", "llm_prompts/name/support-agent"):
            self.send("PUT", f"{artifact}/labels/production", {"version": 1})
        self.send("PUT", "label-policies/production", {"protected": True})
        self.send("PUT", "mirror/", examples_of("BeginMirror")[0])
        share = self.send("POST", "llm_skills/shares/", {}).json()
        webhook = self.send("POST", "webhooks/", {"url": "https://example.com/hooks/skald"}).json()
        [skill] = self.client.get("v1/skills/").raise_for_status().json()["data"]
        self.values |= {"share_token": share["token"], "share_id": share["id"], "webhook_id": webhook["id"]}
        self.values["skill_id"] = skill["id"]

    def send(self, method: str, path: str, body: Any) -> httpx.Response:
        return self.client.request(method, path, json=body).raise_for_status()

    def prepare(self, operation_id: str) -> None:
        """What goes before a change: a name is free to be created and restored, a version is there to go back from."""
        for address, schema in (
            ("llm_skills/name/pdf-forms", "PublishSkill"),
            ("llm_prompts/name/support-agent", "PublishPrompt"),
        ):
            if operation_id.endswith(
                (
                    "revert_create",
                    "promotions_create",
                    "yank_create",
                    "skills_versions_destroy",
                    "versions_restore_create",
                )
            ):
                for body in examples_of(schema)[:2]:
                    self.send("PATCH", address, body)
            elif operation_id.endswith(
                (
                    "llm_skills_create",
                    "llm_prompts_create",
                    "restore_create",
                    "undelete_create",
                    "sdk_skills_create",
                )
            ):
                self.send("POST", f"{address}/archive", {})


def examples_of(schema: str) -> list[Any]:
    found: list[Any] = DOCUMENT["components"]["schemas"][schema]["examples"]
    return found


@pytest.fixture(scope="module")
def known(running_service: Service) -> Stage:
    """What reads share."""
    return Stage(running_service)


def request_of(stage: Stage, operation_id: str) -> httpx.Request:
    path, method, operation = OPERATIONS[operation_id]
    examples: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
    for parameter in operation.get("parameters", ()):
        if "example" in parameter:
            examples[parameter["in"]][parameter["name"]] = parameter["example"]
    for name, value in {**examples["path"], **stage.values}.items():
        path = path.replace(f"{{{name}}}", str(value))
    content = operation.get("requestBody", {}).get("content", {})
    return stage.client.build_request(
        method,
        str(stage.client.base_url.join(path)),
        params=examples["query"],
        headers=examples["header"],
        json=next(iter(content["application/json"]["examples"].values()))["value"]
        if "application/json" in content
        else None,
        files=[(name, packed()) for name in ("file", "files")] if "multipart/form-data" in content else None,
    )


@pytest.mark.parametrize("operation_id", [one for one in OPERATIONS if one != ENDLESS])
def test_all_examples_of_an_operation_at_once(
    operation_id: str, running_service: Service, known: Stage
) -> None:
    stage = known if OPERATIONS[operation_id][1] == "get" else Stage(running_service)
    if stage is not known:
        stage.prepare(operation_id)
    answer = stage.client.send(request_of(stage, operation_id))
    absent = answer.status_code == 404 or (
        answer.status_code == 400 and answer.json()["code"] == "does_not_exist"
    )
    assert answer.is_success or (absent and operation_id in ABSENT), answer.text
