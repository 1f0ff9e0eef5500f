"""The OpenAPI document and its page: complete, true, and usable without internet."""

import re
from typing import Any

import httpx
import jsonschema_rs
import msgspec
import pytest

from api.artifacts import fields
from api.payload.decode import decode
from api.prompts import schemas as prompt_schemas
from api.skills import schemas as skill_schemas
from domain.errors import Refused
from domain.keys import SCOPES
from tests.support.document import DOCUMENT
from tests.support.service import Service

OPERATIONS = {
    operation["operationId"]: (path, method, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
REQUESTS = [
    struct
    for struct in [*vars(skill_schemas).values(), *vars(prompt_schemas).values(), *vars(fields).values()]
    if isinstance(struct, type)
    and issubclass(struct, msgspec.Struct)
    and struct.__name__.startswith(
        ("CreateS", "CreateP", "Publish", "Duplicate", "AddFile", "RenameFile", "SetLabel")
    )
]


def validator(name: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(
        {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    )


def takes(struct: type[Any], value: Any) -> bool:
    """Whether the service takes the body."""
    try:
        decode(struct, msgspec.json.encode(value), "application/json")
    except Refused:
        return False
    return True


# What it asks is longer than an address; it writes nothing.
ASKS = "llm_skills_check_create"


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_every_operation_says_what_a_client_must_know(operation_id: str) -> None:
    path, method, operation = OPERATIONS[operation_id]
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]
    assert not path.startswith("/api/projects/")
    named = {(one["in"], one["name"]) for one in operation.get("parameters", ())}
    assert {("path", name) for name in re.findall(r"{(\w+)}", path)} <= named
    answers = operation["responses"]
    for status, answer in answers.items():
        assert answer["description"]
        if int(status) < 300:
            for content in answer.get("content", {}).values():
                assert content["schema"]
    if "llm_" not in path:
        return
    assert operation["security"][0]["key"][0] in SCOPES
    assert {"401", "403", "404", "429", "503"} <= answers.keys()
    assert answers["401"]["headers"]["WWW-Authenticate"]
    assert answers["429"]["headers"]["Retry-After"]
    if method == "get":
        assert answers["304"]
        assert ("header", "If-None-Match") in named
        assert answers["200"]["headers"]["ETag"]
    elif operation_id != ASKS:
        success = next(answer for status, answer in answers.items() if status.startswith("2"))
        assert success["headers"]["X-Event-Position"]
    if method in ("post", "patch") and operation_id != ASKS:
        assert ("header", "Idempotency-Key") in named
    if "requestBody" in operation:
        [content] = operation["requestBody"]["content"].values()
        assert content["examples"]
        assert {"400", "413", "415"} <= answers.keys()


def test_operation_ids_are_those_of_the_published_api() -> None:
    assert {
        "llm_skills_list",
        "llm_skills_create",
        "llm_skills_name_retrieve",
        "llm_skills_name_partial_update",
        "llm_skills_name_archive_create",
        "llm_skills_name_duplicate_create",
        "llm_skills_name_files_create",
        "llm_skills_name_files_rename_create",
        "llm_skills_name_files_retrieve",
        "llm_skills_name_files_destroy",
        "llm_skills_resolve_name_retrieve",
    } <= OPERATIONS.keys()


def test_examples_match_their_schemas() -> None:
    checked = 0
    for _, _, operation in OPERATIONS.values():
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (one for holder in contents for one in holder.get("content", {}).values()):
            schema = {**content["schema"], "components": DOCUMENT["components"]}
            for title, example in content.get("examples", {}).items():
                jsonschema_rs.validate(schema, example["value"])
                checked += 1
                assert title
    assert checked > 50


@pytest.mark.parametrize("struct", REQUESTS)
def test_the_service_takes_the_examples_of_bodies(struct: type[Any]) -> None:
    for example in struct.EXAMPLES.values():
        assert takes(struct, example)


def test_white_space_in_patterns_is_what_the_service_cuts_off() -> None:
    pattern = re.compile(f"[{fields.WHITE}]")
    assert {chr(code) for code in range(0x110000) if chr(code).isspace()} == {
        chr(code) for code in range(0x110000) if pattern.match(chr(code))
    }


LEAST = {"name": "a", "description": "d", "body": "b"}
TEXTS = {
    "name": [
        "a",
        "a-b",
        " a ",
        "\u3000a\n",
        "a" * 64,
        f" {'a' * 64} ",
        "a" * 65,
        "-a",
        "a--b",
        "A",
        "new",
        " new ",
        "",
        " ",
        "a b",
        "a\n",
        "new-a",
        "\ufeffa",
        "ä",
        "a\x00",
    ],
    "description": [
        "d",
        "",
        " ",
        "\n",
        " d ",
        "d" * 1024,
        f"\t{'d' * 1024}\n",
        "d" * 1025,
        "d\0",
        "a b",
        "a\nb",
    ],
    "license": ["", " ", "MIT", "l" * 255, f" {'l' * 255} ", "l" * 256, "\0"],
    "compatibility": ["", "c" * 500, f"{' ' * 9}{'c' * 500}", "c" * 501, " "],
    "body": ["b", "", " ", "\n\t", "\x1c", "\ufeff", " b", "\0", "b\0", "b\r\n", "b" * 1_000_001],
}
TOOLS = [
    "Read",
    "Bash(git log:*)",
    "Bash(a b) ",
    "a b",
    "",
    " ",
    "a(b)(c)",
    "a( b)(c)",
    "a(b c",
    "a)b(",
    "(\n)",
]
PATHS = [
    "a", "a/b", "a\\b", "/a", "\\a", "a/", "a\\", "a//b", ".", "..", "./a", "a/..", "a/../b", ".a", "..a", "...",
    "a.b", "a/.b", " ", " a ", "", "SKILL.md", "skill.MD", "s\u212aill.md", "a/SKILL.md", "SKILL.md/a", "a\n", "a\0",
    "a\x7f", "a\x85", "ä/ü", "a" * 500, "a" * 501,
]  # fmt: skip
METADATA: list[Any] = [{}, {"a": None}, {"\0": 1}, None, []]
VALUES: list[Any] = [None, 0, "", [], {}, False, "\n"]
CASES: list[tuple[type[Any], dict[str, Any]]] = [
    *((skill_schemas.CreateSkill, {**LEAST, name: text}) for name, texts in TEXTS.items() for text in texts),
    *((skill_schemas.CreateSkill, {**LEAST, "allowed_tools": [tool]}) for tool in TOOLS),
    *((skill_schemas.AddFile, {"path": path, "content": ""}) for path in PATHS),
    *(
        (skill_schemas.AddFile, {"path": "a", "content": "", "content_type": text})
        for text in ("", " ", "a", " a", "a" * 100, "a" * 101, "\0")
    ),
    *((skill_schemas.CreateSkill, {**LEAST, "metadata": value}) for value in METADATA),
    *(
        (prompt_schemas.CreatePrompt, {"name": name, "prompt": "p"})
        for name in ("a", "A_b-1", " a ", "a" * 255, f" {'a' * 255}", "a" * 256, "New", "NEW ", "a.b", "", "a b", "_")
    ),
    *((prompt_schemas.CreatePrompt, {"name": "a", "prompt": value}) for value in VALUES),
    *(
        (prompt_schemas.CreatePrompt, {"name": "a", "prompt": "p", "version_description": text})
        for text in (None, "", "v" * 400, f" {'v' * 400} ", "v" * 401)
    ),
    *(
        (struct, {name: value})
        for struct in (skill_schemas.PublishSkill, prompt_schemas.PublishPrompt)
        for name, value in (
            ("base_version", 0), ("base_version", 1), ("base_version", "1"), ("base_version", None),
            ("edits", []), ("edits", [{"old": "", "new": ""}]), ("edits", [{"old": "a", "new": ""}]), ("edits", None),
            ("edits", [{"old": "a"}]),
        ) if struct is skill_schemas.PublishSkill or name == "edits"
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "struct", dict.fromkeys(struct for struct, _ in CASES), ids=lambda struct: struct.__name__
)
def test_schemas_accept_exactly_what_the_service_takes(struct: type[Any]) -> None:
    check = validator(struct.__name__)
    wrong = [
        (repr(value)[:100], check.is_valid(value))
        for kind, value in CASES
        if kind is struct and check.is_valid(value) != takes(struct, value)
    ]
    assert wrong == []


def test_schemas_know_which_fields_exclude_each_other() -> None:
    skill, prompt = validator("PublishSkill"), validator("PublishPrompt")
    edits = [{"old": "a", "new": "b"}]
    assert not skill.is_valid({"body": "b", "edits": edits})
    assert not skill.is_valid({"files": [], "file_edits": [{"path": "a", "edits": edits}]})
    assert skill.is_valid({"body": "b", "file_edits": [{"path": "a", "edits": edits}]})
    assert not prompt.is_valid({"prompt": "p", "edits": edits})
    assert not prompt.is_valid({"base_version": 1})
    assert prompt.is_valid({"config": None})


def test_every_request_field_has_a_description() -> None:
    for struct in REQUESTS:
        component = DOCUMENT["components"]["schemas"][struct.__name__]
        assert component["description"]
        for name, shown in component["properties"].items():
            assert "description" in str(shown) or "$ref" in str(shown), (struct, name)


def test_the_document_and_its_page_are_served_without_a_key(running_service: Service) -> None:
    with httpx.Client(base_url=running_service.base_url, timeout=30) as client:
        served = client.get("/schema/openapi.json")
        assert served.headers["content-type"] == "application/json"
        assert served.json() == DOCUMENT
        again = client.get("/schema/openapi.json", headers={"If-None-Match": served.headers["etag"]})
        assert again.status_code == 304
        for address in ("/schema", "/schema/"):
            page = client.get(address)
            assert page.status_code == 200
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
        # Nothing inline, nothing from elsewhere: the policy would stop it.
        assert not re.search(r"<style|style=|\son\w+=|<script>|//", page.text)
        parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert {"/schema/reference.js", "/schema/reference.css", "/schema/openapi.json"} == set(parts)
        assert client.get("/schema/reference.js").headers["content-type"].startswith("text/javascript")
        assert client.get("/schema/reference.css").headers["content-type"].startswith("text/css")
        assert "innerHTML" not in client.get("/schema/reference.js").text
        assert client.post("/schema").status_code == 405


WRITES: list[tuple[str, Any, Any, list[Any]]] = [
    (
        "llm_skills",
        skill_schemas.CreateSkill,
        skill_schemas.PublishSkill,
        [skill_schemas.AddFile, skill_schemas.RenameFile],
    ),
    ("llm_prompts", prompt_schemas.CreatePrompt, prompt_schemas.PublishPrompt, []),
]


def test_the_examples_of_writes_work_one_after_another(running_service: Service) -> None:
    project = running_service.make_project().id
    with running_service.client(project_id=project) as client:
        for resource, create, publish, extra in WRITES:
            for example in create.EXAMPLES.values():
                assert client.post(f"{resource}/", json=example).status_code == 201
            name = next(iter(create.EXAMPLES.values()))["name"]
            for example in publish.EXAMPLES.values():
                answer = client.patch(f"{resource}/name/{name}/", json=example)
                assert answer.status_code == 200, answer.text
            for struct in extra:
                path = "files" if struct is skill_schemas.AddFile else "files-rename"
                for example in struct.EXAMPLES.values():
                    assert client.post(f"{resource}/name/{name}/{path}/", json=example).is_success
