"""Schemathesis against running processes: requests that fit the OpenAPI document, and requests that do not.

Each operation gets the examples, the edges of its schemas (coverage) and generated data, always the same. Whatever a
request needs, a skill, a prompt, its current version, is made for it first, so that fitting data reaches the handlers.
"""

import itertools
from base64 import b64encode
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.transport.serialization import Binary

from tests.support.archives import packed
from tests.support.document import DOCUMENT
from tests.support.service import Service

# What fitting data may still be refused for: it depends on what is stored or on two fields at once, or is deep in JSON
# of the client's own.
STATEFUL = {
    "edit_not_found",
    "edit_ambiguous",
    "file_not_found",
    "unique",
    "duplicate_path",
    "path_conflict",
    "invalid_range",
    "null_characters_not_allowed",
    "max_depth",
    "too_much_work",
    "invalid_skill",
    "needs_upsert",
    "other_name",
    "last_version",
    "does_not_exist",
    "read_only",
    # What Unicode calls so is no pattern.
    "not_printable",
}
ACCEPTED = ["2xx", "3xx", "404", "409", "412", "422"]
REFUSED = ["400", "401", "403", "404", "405", "409", "412", "415", "422"]
# Beside the examples and the edges, so few that the whole takes half a minute; raise it to look for more.
EXAMPLES = 5

config = schemathesis.Config.from_dict(
    {
        "generation": {
            "deterministic": True,
            "mode": "all",
            "max-examples": EXAMPLES,
            "with-security-parameters": False,
        },
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ACCEPTED},
            "negative_data_rejection": {"expected-statuses": REFUSED},
            "missing_required_header": {"enabled": False},
        },
    }
)
# What forms take is an archive; any other bytes would be refused before anything else is looked at.
schemathesis.openapi.format("binary", st.just(Binary(packed("imported"))))
# Schemathesis works on it, so it gets one of its own.
schema = schemathesis.openapi.from_dict(deepcopy(DOCUMENT), config=config)
# Query parameters of which only one may be given.
EXCLUSIVE = (
    ("version", "version_id"),
    ("version", "label"),
    ("version", "tag"),
    ("offset", "before_version"),
    ("position", "as_of"),
    ("label", "ever"),
    ("after", "page"),
)
FILE = "scripts/fill.py"
FITTING_BODY: dict[str, Any] = {
    "base_version": 1,
    "version": 1,
    "old_path": FILE,
    "expire_after": 60,
    "expires_in": 60,
    "from": 1,
    "to": 2,
    "after": 0,
    "default_version": "1",
}
FITTING_QUERY: dict[str, Any] = {
    "wait": 0,
    "position": 1,
    "type": "skald.skill.published.v1",
    "subject": "skill/pdf-forms",
    "cursor": "",
    "in": "name,body",
}
# It answers for as long as the client listens.
ENDLESS = "events_stream"
SDK = "/api/environments/{project_id}/v1/skills"
_numbers = itertools.count(1)


class Stage:
    """What a request needs is there before it: an artifact with a file, and a label."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.project_id = service.make_project().id
        self.key = service.make_key(["*"], [self.project_id])
        self.client = service.client(self.key, self.project_id)
        # Reads share them; every write has its own.
        self.known_skill = self.skill()
        self.known_skill_id = self.skill_id()
        self.known_webhook = self.webhook()
        self.known_share = self.share()
        self.known_prompt = self.prompt()

    def close(self) -> None:
        self.client.close()

    def set(self, case: Case[Any]) -> None:
        """Point what fits in the case at what exists; what does not fit stays as it is."""
        if not _negative(case, "path"):
            for name, value in self._path(case).items():
                case.path_parameters[name] = value
        if (
            case.operation.path.endswith(("/activity", "/search"))
            and str(case.query.get("after", "")).isdigit()
        ):
            # It would wait for a position that there may never be.
            case.query.pop("after")
        if not _negative(case, "query"):
            for one, other in EXCLUSIVE:
                if one in case.query:
                    case.query.pop(other, None)
            case.query.update({name: value for name, value in FITTING_QUERY.items() if name in case.query})
        if not _negative(case, "body") and isinstance(case.body, dict) and "file" not in case.body:
            fitting = {**FITTING_BODY, "set_current_team": str(self.project_id), "email": "ada@example.com"}
            known = {
                name: value
                for name, value in fitting.items()
                if name in case.body and not (isinstance(case.body[name], str) and isinstance(value, int))
            }
            # A new object: the one of an example belongs to the document.
            body: dict[str, Any] = _encoded(_whole({**case.body, **known}))
            # There is one, whose id no schema knows.
            body.pop("set_current_organization", None)
            if isinstance(body.get("files"), list):
                body["files"] = [_encoded(file) for file in body["files"]]
            case.body = body
        if case.operation.path.startswith(SDK) and case.method != "GET":
            # Its errors have no code, by which a refusal would be known that no schema can say.
            case.headers.pop("anthropic-version", None)
        based = isinstance(case.body, dict) and "base_version" in case.body
        starts_from = case.operation.method == "patch" or case.operation.path.endswith("/revert")
        if starts_from and not based:
            case.headers["If-Match"] = "*"

    def _path(self, case: Case[Any]) -> dict[str, str]:
        makers: dict[str, Callable[[], str]] = {
            "project_id": lambda: str(self.project_id),
            "skill_name": lambda: self.known_skill if case.method == "GET" else self.skill(),
            "skill_id": lambda: self.known_skill_id if case.method == "GET" else self.new_skill_id(),
            "skill_version": lambda: "1",
            "prompt_name": lambda: self.known_prompt if case.method == "GET" else self.prompt(),
            "file_path": lambda: FILE,
            "label_name": lambda: "production",
            "version_number": lambda: "1",
            "share_token": lambda: self.known_share["token"],
            "share_id": lambda: self.share()["id"],
            "skill_slug": lambda: self.known_skill,
            "release": lambda: "1.0.1",
            "skill_archive": lambda: f"{self.known_skill}.zip",
            "webhook_id": lambda: self.webhook() if case.method == "DELETE" else self.known_webhook,
        }
        return {name: make() for name, make in makers.items() if name in case.path_parameters}

    def webhook(self) -> str:
        made = self.client.post("webhooks/", json={"url": "https://example.com/hook"})
        if made.status_code == 409:
            # As many as a project may have, by now: any will do.
            return str(self.client.get("webhooks/").raise_for_status().json()["results"][-1]["id"])
        return str(made.raise_for_status().json()["id"])

    def share(self) -> dict[str, Any]:
        made: dict[str, Any] = self.client.post("llm_skills/shares/", json={}).raise_for_status().json()
        return made

    def skill(self) -> str:
        name = f"skill-{next(_numbers)}"
        body = {
            "name": name,
            "description": "d",
            "body": "# Title\n\nText\n",
            "files": [{"path": FILE, "content": "pass\n"}],
        }
        self.client.post("llm_skills/", json=body).raise_for_status()
        return name

    def skill_id(self) -> str:
        """The id of the newest skill, as SDKs have it."""
        [newest] = self.client.get("v1/skills/?limit=1").raise_for_status().json()["data"]
        return str(newest["id"])

    def new_skill_id(self) -> str:
        self.skill()
        return self.skill_id()

    def prompt(self) -> str:
        name = f"prompt-{next(_numbers)}"
        self.client.post("llm_prompts/", json={"name": name, "prompt": "Text"}).raise_for_status()
        self.client.put(f"llm_prompts/name/{name}/labels/production", json={"version": 1}).raise_for_status()
        return name


def _whole(value: Any) -> Any:
    """A whole number may be drawn as 1.0, which is none here."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return value


def _encoded(file: Any) -> Any:
    """An example's content beside another example's encoding fits by neither alone; the schema says so, and is not asked."""
    if not isinstance(file, dict) or file.get("encoding") != "base64":
        return file
    return {**file, "content": b64encode(str(file.get("content", "")).encode("utf-8", "replace")).decode()}


def _negative(case: Case[Any], place: str) -> bool:
    """Whether that part of the request was made not to fit."""
    return case.meta is not None and case.meta.is_negative_at(ParameterLocation(place))


@schema.hook
def filter_failure(context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    """Fitting data that is refused for what no schema can say is no failure."""
    if (
        isinstance(failure, AcceptedNegativeData)
        and isinstance(case.body, dict)
        and list(case.body) == ["files"]
    ):
        # An archive that fits, without what else a form has that does not.
        return False
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 400:
        return True
    body = response.json()
    return body.get("code", body.get("error", {}).get("code")) not in STATEFUL


@pytest.fixture(scope="module")
def stage(running_service: Service) -> Iterator[Stage]:
    stage = Stage(running_service)
    yield stage
    stage.close()


@schema.exclude(operation_id=ENDLESS).parametrize()
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_operation(case: Case[Any], stage: Stage) -> None:
    stage.set(case)
    case.call_and_validate(base_url=stage.service.base_url, headers={"Authorization": f"Bearer {stage.key}"})
