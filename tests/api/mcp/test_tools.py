"""Tools of the MCP endpoint: each one by the SDK's client over HTTP, under the rules, scopes and errors of the API."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import pytest_asyncio
from litestar import Litestar
from mcp.shared.exceptions import MCPError

from api.app import route_handlers
from api.artifacts import schemas as artifact_schemas
from api.governance import schemas as governance_schemas
from api.mcp.tools import TOOLS, BoundTool, bind
from api.openapi.document import operations_of
from api.prompts import schemas as prompt_schemas
from api.skills import schemas as skill_schemas
from projections.declared import SEARCH
from tests.support.following import following
from tests.support.mcp_client import ERAS, Agent, agent_on, call, connected
from tests.support.service import Service
from workers.projections import ProjectionFollower

SKILL = {
    "name": "pdf-forms",
    "description": "Fill in forms. Use for forms.",
    "body": "# Forms\n\nRead, then fill.\n",
}


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    mode: str = request.param
    return mode


@pytest_asyncio.fixture
async def agent(running_service: Service) -> AsyncIterator[Agent]:
    # The client must end in the task that began it, which a fixture's two halves are not.
    ready: asyncio.Queue[Agent] = asyncio.Queue()
    done = asyncio.Event()

    async def live() -> None:
        async with agent_on(running_service) as found:
            ready.put_nowait(found)
            await done.wait()

    task = asyncio.create_task(live())
    async with asyncio.timeout(30):
        found = await ready.get()
    yield found
    done.set()
    await task


@pytest.fixture(scope="module")
def bound() -> dict[str, BoundTool]:
    return bind(Litestar(route_handlers=route_handlers(), openapi_config=None, logging_config=None))


async def test_a_skill_is_created_found_read_and_changed(running_service: Service, era: str) -> None:
    async with agent_on(running_service, era) as agent:
        created = await agent.call(
            "create_skill",
            **SKILL,
            metadata={"team": "docs"},
            files=[{"path": "scripts/fill.py", "content": "print('filled')\n"}],
        )
        assert (created["name"], created["version"]) == ("pdf-forms", 1)
        assert "body" not in created

        found = await agent.call("list_skills", search="FORMS")
        assert found["count"] == 1
        assert found["results"][0]["description"] == SKILL["description"]
        assert (await agent.call("list_skills", search="nothing"))["results"] == []

        read = await agent.call("get_skill", name="pdf-forms")
        assert read["body"] == SKILL["body"]
        assert [file["path"] for file in read["files"]] == ["scripts/fill.py"]
        part = await agent.call("get_skill", name="pdf-forms", body_offset=2, body_length=5)
        assert (part["body"], part["body_next_offset"]) == ("Forms", 7)
        file = await agent.call("get_skill_file", name="pdf-forms", path="scripts/fill.py")
        assert file["content"] == "print('filled')\n"

        edited = await agent.call(
            "edit_skill",
            name="pdf-forms",
            base_version=1,
            edits=[{"old": "Read", "new": "Look"}],
            file_edits=[{"path": "scripts/fill.py", "edits": [{"old": "filled", "new": "done"}]}],
        )
        assert edited["version"] == 2
        assert (await agent.call("get_skill", name="pdf-forms"))["body"] == "# Forms\n\nLook, then fill.\n"
        assert (await agent.call("get_skill", name="pdf-forms", version=1))["body"] == SKILL["body"]
        changed = await agent.call("get_skill_file", name="pdf-forms", path="scripts/fill.py")
        assert changed["content"] == "print('done')\n"


async def test_files_are_added_renamed_and_removed(agent: Agent) -> None:
    await agent.call("create_skill", **SKILL)
    added = await agent.call(
        "add_skill_file", name="pdf-forms", path="a b/ünïcode?.md", content="x", base_version=1
    )
    assert [file["path"] for file in added["files"]] == ["a b/ünïcode?.md"]
    assert (await agent.call("get_skill_file", name="pdf-forms", path="a b/ünïcode?.md"))["content"] == "x"
    moved = await agent.call(
        "rename_skill_file", name="pdf-forms", old_path="a b/ünïcode?.md", new_path="100%25/c.md"
    )
    assert [file["path"] for file in moved["files"]] == ["100%25/c.md"]
    stale = await agent.fail("remove_skill_file", name="pdf-forms", path="100%25/c.md", base_version=1)
    assert (stale["code"], stale["current_version"]) == ("version_conflict", 3)
    removed = await agent.call("remove_skill_file", name="pdf-forms", path="100%25/c.md", base_version=3)
    assert (removed["files"], removed["version"]) == ([], 4)


async def test_a_skill_is_duplicated_archived_and_restored(agent: Agent) -> None:
    await agent.call("create_skill", **SKILL)
    assert (await agent.call("duplicate_skill", name="pdf-forms", new_name="copy"))["name"] == "copy"
    assert (await agent.call("rename_skill", name="copy", new_name="second"))["name"] == "second"
    assert (await agent.call("get_skill", name="copy"))["name"] == "second"
    refused = await agent.fail("rename_skill", name="copy", new_name="third")
    assert (refused["code"], refused["renamed_to"]) == ("not_found", "second")
    assert (await agent.call("rename_skill", name="second", new_name="copy"))["version"] == 1
    assert await agent.call("archive_skill", name="pdf-forms") is None
    assert [row["name"] for row in (await agent.call("list_skills"))["results"]] == ["copy"]
    assert (await agent.fail("archive_skill", name="pdf-forms"))["code"] == "not_found"
    assert (await agent.call("restore_skill", name="pdf-forms"))["version"] == 1
    versions = await agent.call("list_skill_versions", name="pdf-forms", limit=1)
    assert [line["version"] for line in versions["versions"]] == [1]


async def test_a_skill_is_read_by_its_label(agent: Agent) -> None:
    await agent.call("create_skill", **SKILL, files=[{"path": "a.txt", "content": "one"}])
    edits = [{"path": "a.txt", "edits": [{"old": "one", "new": "two"}]}]
    await agent.call("edit_skill", name="pdf-forms", base_version=1, file_edits=edits)
    label = await agent.call("set_skill_label", name="pdf-forms", label="production", version=1)
    assert (label["name"], label["version"]) == ("production", 1)
    found = await agent.call("get_skill", name="pdf-forms", label="production")
    assert (found["version"], found["label"], found["labels"]) == (1, "production", ["production"])
    file = await agent.call("get_skill_file", name="pdf-forms", path="a.txt", label="production")
    assert file["content"] == "one"
    (row,) = (await agent.call("list_skills", label="production"))["results"]
    assert (row["version"], row["all_labels"]) == (1, [{"name": "production", "version": 1}])
    assert (await agent.fail("get_skill", name="pdf-forms", label="beta"))["code"] == "not_found"


@pytest.mark.parametrize("kind", ["skill", "prompt"])
async def test_a_version_is_yanked_and_the_yank_taken_back(agent: Agent, kind: str) -> None:
    content: dict[str, Any] = SKILL if kind == "skill" else {"name": "pdf-forms", "prompt": "One"}
    change = {"body": "Two\n"} if kind == "skill" else {"prompt": "Two"}
    await agent.call(f"create_{kind}", **content)
    await agent.call(f"edit_{kind}", name="pdf-forms", base_version=1, **change)
    yank, unyank = f"yank_{kind}_version", f"unyank_{kind}_version"
    yanked = await agent.call(yank, name="pdf-forms", version=2, reason="wrong")
    assert (yanked["version"], yanked["yanked"]["reason"], yanked["latest_version"]) == (2, "wrong", 1)
    assert not yanked.keys() & {"body", "prompt", "skill_md"}
    assert await agent.call(yank, name="pdf-forms", version=2, reason="again") == yanked
    read = await agent.call(f"get_{kind}", name="pdf-forms", version=2)
    assert read["yanked"]["reason"] == "wrong"
    last = await agent.fail(yank, name="pdf-forms", version=1, reason="wrong")
    assert last["code"] == "last_version"
    unknown = await agent.fail(yank, name="pdf-forms", version=10**30, reason="wrong")
    assert (unknown["code"], unknown["available_versions"]) == ("version_not_found", [1])
    blank = await agent.fail(yank, name="pdf-forms", version=2, reason=" ")
    assert (blank["code"], blank["attr"]) == ("blank", "reason")
    assert (await agent.call(unyank, name="pdf-forms", version=2))["yanked"] is None
    assert (await agent.call(f"get_{kind}", name="pdf-forms"))["version"] == 2
    await agent.call(f"set_{kind}_label", name="pdf-forms", label="live", version=2)
    await agent.call(f"remove_{kind}_label", name="pdf-forms", label="live")
    assert (await agent.fail(f"get_{kind}", name="pdf-forms", label="live"))["code"] == "not_found"


@pytest.mark.parametrize("kind", ["skill", "prompt"])
async def test_a_label_moves_when_others_approve(running_service: Service, agent: Agent, kind: str) -> None:
    content: dict[str, Any] = SKILL if kind == "skill" else {"name": "pdf-forms", "prompt": "One"}
    await agent.call(f"create_{kind}", **content)
    admin = running_service.make_key(("project:admin",), [agent.project_id])
    with running_service.client(admin, agent.project_id) as http:
        policy = http.put("label-policies/live", json={"approvals": 1})
        assert policy.status_code == 201, policy.text
    refused = await agent.fail(f"set_{kind}_label", name="pdf-forms", label="live", version=1)
    assert refused["code"] == "label_protected"

    async def asked(note: str) -> Any:
        return await agent.call(
            f"request_{kind}_promotion", name="pdf-forms", label="live", version=1, note=note
        )

    first, second, third = [await asked(note) for note in ("one", "two", "three")]
    assert (first["kind"], first["status"], first["note"]) == (kind, "open", "one")
    refused = await agent.fail("approve_promotion", id=first["id"])
    assert f"'llm_{kind}:promote'" in refused["detail"]
    assert (await agent.call("withdraw_promotion", id=second["id"]))["status"] == "withdrawn"

    scopes = (f"llm_{kind}:read", f"llm_{kind}:promote")
    key = running_service.make_key(scopes, [agent.project_id])
    async with connected(f"{running_service.base_url}/mcp", key) as client:
        reviewer = Agent(running_service, client, agent.project_id, key)
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"approve_promotion", "reject_promotion", "list_promotions"} <= names
        assert not names & {"withdraw_promotion", f"request_{kind}_promotion", f"yank_{kind}_version"}
        opened = await reviewer.call("list_promotions", status="open", label="live")
        assert [row["id"] for row in opened["results"]] == [third["id"], first["id"]]
        rejected = await reviewer.call("reject_promotion", id=third["id"], comment="no")
        assert rejected["status"] == "rejected"
        approved = await reviewer.call("approve_promotion", id=first["id"], comment="yes")
        assert (approved["status"], approved["approvals"][0]["comment"]) == ("promoted", "yes")
        assert (await reviewer.fail("approve_promotion", id=first["id"]))["code"] == "promoted"
        assert "llm_" in (await reviewer.fail("withdraw_promotion", id=first["id"]))["detail"]
    assert (await agent.call(f"get_{kind}", name="pdf-forms", label="live"))["version"] == 1


async def test_skills_are_found_by_a_question(
    running_service: Service, agent: Agent, postgres_url: str
) -> None:
    async with following(postgres_url, lambda news: ProjectionFollower(news, SEARCH)):
        await agent.call("create_skill", **SKILL)
        found: dict[str, Any] = {"count": 0}
        async with asyncio.timeout(30):
            while not found["count"]:
                found = await agent.call("search_skills", query="How do I fill in a form?", top_k=3)
    [hit] = found["results"]
    assert hit["name"] == "pdf-forms"
    assert {match["matched_field"] for match in hit["matches"]} <= {"name", "description", "body"}
    missing = await agent.fail("search_skills", top_k=3)
    assert (missing["code"], missing["attr"]) == ("required", "query")


async def test_prompts_are_created_read_labelled_and_changed(running_service: Service, era: str) -> None:
    async with agent_on(running_service, era) as agent:
        chat = [{"role": "system", "content": "You help {{who}}."}]
        await agent.call("create_prompt", name="Support", prompt=chat, config={"temperature": 0.2})
        await agent.call(
            "edit_prompt", name="Support", base_version=1, edits=[{"old": "help", "new": "serve"}]
        )
        label = await agent.call("set_prompt_label", name="Support", label="production", version=1)
        assert (label["name"], label["version"]) == ("production", 1)

        (row,) = (await agent.call("list_prompts", search="support"))["results"]
        assert row["all_labels"] == [{"name": "production", "version": 1}]
        assert "serve" in row["prompt_preview"]
        assert (await agent.call("get_prompt", name="Support"))["prompt"][0][
            "content"
        ] == "You serve {{who}}."
        assert (await agent.call("get_prompt", name="Support", label="production"))["prompt"] == chat
        assert (await agent.call("get_prompt", name="Support", version=2))["version"] == 2
        both = await agent.fail("get_prompt", name="Support", version=2, label="production")
        assert both["code"] == "invalid_input"
        versions = await agent.call("list_prompt_versions", name="Support")
        assert [line["version"] for line in versions["versions"]] == [2, 1]

        assert (await agent.call("archive_prompt", name="Support"))["name"] == "Support"
        assert (await agent.call("list_prompts"))["count"] == 0
        assert (await agent.call("restore_prompt", name="Support"))["version"] == 2
        assert (await agent.call("rename_prompt", name="Support", new_name="Help"))["name"] == "Help"
        assert (await agent.call("get_prompt", name="Support", version=1))["name"] == "Help"


async def test_a_prompt_comes_back_as_it_was_written(running_service: Service) -> None:
    key = running_service.make_key(project_ids=[(project := running_service.make_project()).id])
    written = '{"n":[1.10,1e400,12345678901234567890123456789,"é"]}'.encode()
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_prompt","arguments":{"name":"p","prompt":%b}}}'
    with running_service.client(key, project.id) as http:
        answer = http.post(
            running_service.base_url + "/mcp",
            content=body % written,
            headers=dict.fromkeys(["accept", "content-type"], "application/json"),
        )
        assert answer.json()["result"]["isError"] is False, answer.text
        stored = http.get("llm_prompts/name/p").content
    assert b'"prompt":' + written in stored
    text = call(running_service, key, "get_prompt", name="p").json()["result"]["content"][0]["text"]
    assert written.decode() in text


async def test_what_is_refused_tells_a_model_how_to_go_on(agent: Agent) -> None:
    await agent.call("create_skill", **SKILL)
    await agent.call("edit_skill", name="pdf-forms", base_version=1, description="Other")

    conflict = await agent.fail("edit_skill", name="pdf-forms", base_version=1, description="Late")
    assert (conflict["code"], conflict["attr"], conflict["current_version"]) == (
        "version_conflict",
        "base_version",
        2,
    )
    absent = await agent.fail(
        "edit_skill", name="pdf-forms", base_version=2, edits=[{"old": "absent", "new": ""}]
    )
    assert (absent["code"], absent["attr"], absent["edit_index"]) == ("edit_not_found", "edits__0__old", 0)
    unknown = await agent.fail("get_skill", name="pdf-form")
    assert (unknown["code"], unknown["suggestions"]) == ("not_found", ["pdf-forms"])
    version = await agent.fail("get_skill", name="pdf-forms", version=9)
    assert (version["code"], version["available_versions"]) == ("version_not_found", [2, 1])
    path = await agent.fail("get_skill_file", name="pdf-forms", path="../x")
    assert (path["code"], path["attr"]) == ("invalid_path", "path")
    taken = await agent.fail("create_skill", **SKILL)
    assert (taken["code"], taken["attr"]) == ("unique", "name")
    nested = await agent.fail(
        "create_skill", **{**SKILL, "name": "b", "files": [{"path": "a", "content": 1}]}
    )
    assert nested["attr"] == "files__0__content"


BAD: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("create_skill", {"name": "a"}, "required", "description"),
    ("edit_skill", {"name": "pdf-forms", "body": "x"}, "required", "base_version"),
    ("edit_skill", {"base_version": 1}, "required", "name"),
    ("get_skill", {}, "required", "name"),
    ("get_skill", {"name": 5}, "invalid_input", "name"),
    ("get_skill", {"name": " "}, "blank", "name"),
    ("get_skill", {"name": "a/archive"}, "not_found", None),
    ("get_skill", {"name": "..", "version": 1}, "not_found", None),
    ("get_skill", {"name": "a", "versoin": 1}, "invalid_input", "versoin"),
    ("get_skill", {"name": "a", "version": "x"}, "invalid_input", "version"),
    ("get_skill", {"name": "a", "version": 1.5}, "invalid_input", "version"),
    ("get_skill", {"name": "a", "version": [1]}, "invalid_input", "version"),
    ("list_skills", {"limit": 0}, "min_value", "limit"),
    ("list_skills", {"order_by": "size"}, "invalid_input", "order_by"),
    ("create_skill", {**SKILL, "name": "New"}, "reserved_name", "name"),
    ("create_skill", {**SKILL, "body": "a\0b"}, "null_characters_not_allowed", "body"),
    ("set_prompt_label", {"name": "a", "label": "Latest", "version": 1}, "invalid_name", "label"),
    ("yank_skill_version", {"name": "a", "reason": "r"}, "required", "version"),
    ("yank_skill_version", {"name": "a", "reason": "r", "version": None}, "required", "version"),
    ("yank_skill_version", {"name": "a", "reason": "r", "version": [1]}, "invalid_input", "version"),
    ("yank_prompt_version", {"name": "a", "reason": "r", "version": 1.5}, "invalid_input", "version"),
    ("unyank_skill_version", {"name": "a", "version": 0}, "min_value", "version"),
    ("unyank_skill_version", {"name": "a", "version": 1}, "not_found", None),
    ("approve_promotion", {}, "required", "id"),
    ("withdraw_promotion", {"id": "x"}, "not_found", None),
    ("withdraw_promotion", {"id": "x", "comment": "c" * 401}, "max_length", "comment"),
    ("list_promotions", {"status": "done"}, "invalid_input", "status"),
]


async def test_bad_arguments_are_blamed_by_their_names(agent: Agent) -> None:
    for tool, arguments, code, attr in BAD:
        error = await agent.fail(tool, **arguments)
        assert (error["code"], error["attr"]) == (code, attr), (tool, arguments, error)


async def test_null_is_as_good_as_absent_where_an_address_takes_it(agent: Agent) -> None:
    await agent.call("create_skill", **SKILL)
    assert (await agent.call("get_skill", name="pdf-forms", version=None))["version"] == 1
    assert (await agent.call("list_skills", search=None, limit=None))["count"] == 1


async def test_a_version_is_found_by_its_id_too(agent: Agent) -> None:
    await agent.call("create_skill", **SKILL)
    version_id = (await agent.call("get_skill", name="pdf-forms"))["id"]
    assert (await agent.call("get_skill", name=version_id))["name"] == "pdf-forms"


async def test_a_key_sees_and_may_call_what_its_scopes_allow(running_service: Service, era: str) -> None:
    async with agent_on(running_service, era, scopes=("llm_skill:read",)) as agent:
        names = {tool.name for tool in (await agent.client.list_tools()).tools}
        assert names == {
            "list_skills",
            "search_skills",
            "get_skill",
            "get_skill_file",
            "list_skill_versions",
            "list_promotions",
        }
        refused = await agent.fail("create_skill", **SKILL)
        assert refused["code"] == "permission_denied"
        assert "required scope 'llm_skill:write'" in refused["detail"]
        assert "llm_prompt:read" in (await agent.fail("list_prompts"))["detail"]
        assert (await agent.call("list_skills"))["count"] == 0


async def test_nothing_of_another_project_is_seen(running_service: Service, agent: Agent) -> None:
    await agent.call("create_skill", **SKILL)
    version_id = (await agent.call("get_skill", name="pdf-forms"))["id"]
    async with agent_on(running_service) as other:
        assert (await other.call("list_skills"))["count"] == 0
        for name in ("pdf-forms", "pdf-form", version_id):
            unknown = await other.fail("get_skill", name=name)
            assert (unknown["code"], unknown["suggestions"]) == ("not_found", [])
        assert (await other.fail("archive_skill", name="pdf-forms"))["code"] == "not_found"


async def test_an_unknown_tool_is_an_error_of_the_protocol(agent: Agent) -> None:
    with pytest.raises(MCPError, match="no tool 'delete_everything'"):
        await agent.client.call_tool("delete_everything", {})


async def test_calls_at_the_same_time_do_not_mix(running_service: Service, agent: Agent) -> None:
    names = [f"skill-{number}" for number in range(24)]

    async def work(name: str) -> tuple[str, str]:
        await agent.call("create_skill", name=name, description=name, body=name)
        read = await agent.call("get_skill", name=name)
        return read["name"], read["body"]

    assert await asyncio.gather(*map(work, names)) == [(name, name) for name in names]
    late = await asyncio.gather(
        *(
            agent.client.call_tool(
                "edit_skill", {"name": names[0], "base_version": 1, "description": f"{number}"}
            )
            for number in range(8)
        )
    )
    assert sum(not result.is_error for result in late) == 1


async def test_every_process_sees_what_another_one_wrote(running_service: Service, agent: Agent) -> None:
    assert len(running_service.api_pids()) >= 2
    await agent.call("create_skill", **SKILL)
    for base in range(1, 7):
        # A connection of its own, so that the kernel may choose another process.
        url = f"{running_service.base_url}/mcp"
        async with connected(url, agent.key, ERAS[base % 2]) as client:
            edit = {"name": "pdf-forms", "base_version": base, "description": f"After {base}"}
            assert not (await client.call_tool("edit_skill", edit)).is_error
        seen = await asyncio.to_thread(call, running_service, agent.key, "get_skill", name="pdf-forms")
        assert seen.json()["result"]["structuredContent"]["version"] == base + 1


# One source ------------------------------------------------------------------------------------------------------


def test_the_hints_agree_with_what_the_operations_do(bound: dict[str, BoundTool]) -> None:
    for tool in bound.values():
        assert tool.tool.read_only == (tool.method == "GET"), tool.tool.name
        allowed = (":read",) if tool.tool.read_only else (":write", ":promote")
        assert all(scope.endswith(allowed) for scope in tool.scopes), tool.tool.name
        assert not (tool.tool.read_only and tool.tool.destructive)


def test_every_operation_that_changes_skills_and_prompts_is_a_tool_or_known_not_to_be(
    bound: dict[str, BoundTool],
) -> None:
    app = Litestar(route_handlers=route_handlers(), openapi_config=None, logging_config=None)
    writes = {
        operation.operation_id
        for operation in operations_of(app)
        if operation.writes and operation.operation_id.startswith(("llm_skills", "llm_prompts", "promotions"))
    }
    left_out = {
        "llm_skills_import_create",
        "llm_skills_marketplace_install_command_create",
        "llm_skills_shares_create",
        "llm_skills_shares_destroy",
        "llm_skills_name_revert_create",
        "llm_prompts_name_revert_create",
        "llm_prompts_name_duplicate_create",
        "llm_skills_check_create",
    }
    # One tool a decision, by the id alone, is enough for both kinds.
    left_out |= {
        one for one in writes if "_name_promotions_" in one and not one.endswith("_promotions_create")
    }
    assert writes - left_out == {tool.operation for tool in TOOLS if not tool.read_only}


@pytest.mark.parametrize(
    ("tool", "body"),
    [
        ("create_skill", skill_schemas.CreateSkill),
        ("edit_skill", skill_schemas.PublishSkill),
        ("add_skill_file", skill_schemas.AddFile),
        ("rename_skill_file", skill_schemas.RenameFile),
        ("duplicate_skill", skill_schemas.DuplicateSkill),
        ("create_prompt", prompt_schemas.CreatePrompt),
        ("edit_prompt", prompt_schemas.PublishPrompt),
        ("set_prompt_label", artifact_schemas.SetLabel),
        ("set_skill_label", artifact_schemas.SetLabel),
        ("yank_skill_version", artifact_schemas.Yank),
        ("unyank_prompt_version", artifact_schemas.Unyank),
        ("request_prompt_promotion", governance_schemas.RequestPromotion),
        ("reject_promotion", governance_schemas.Decide),
    ],
)
def test_what_a_tool_takes_is_what_its_body_has(
    bound: dict[str, BoundTool], tool: str, body: type[msgspec.Struct]
) -> None:
    found = bound[tool]
    fields = {field.encode_name: field for field in msgspec.structs.fields(body)}
    properties = found.input_schema["properties"]
    assert properties.keys() == fields.keys() | set(found.places.values())
    required = {name for name, field in fields.items() if field.required} | set(found.places.values())
    assert set(found.input_schema["required"]) == required | set(found.tool.required)
    for title, example in body.EXAMPLES.items():  # type: ignore[attr-defined]
        places = {place: 1 if found.is_number(place) else "x" for place in found.places.values()}
        sent = {**places, **example}
        assert jsonschema_rs.is_valid(found.input_schema, sent), title


def test_schemas_hold_nothing_that_some_model_provider_refuses(bound: dict[str, BoundTool]) -> None:
    for tool in bound.values():
        assert not {"anyOf", "allOf", "oneOf", "not"} & tool.input_schema.keys()
        text = json.dumps(tool.input_schema)
        assert not any(f'"{word}"' in text for word in ("$ref", "pattern", "not", "x-without"))
        assert len(tool.tool.name) <= 64
        assert tool.tool.description.endswith(".")


def test_the_page_names_every_tool_and_no_other() -> None:
    page = (Path(__file__).parents[3] / "docs" / "mcp.md").read_text()
    table = page.partition("## Tools\n")[2].partition("\n- ")[0]
    assert set(re.findall(r"`(\w+)`", table)) == {tool.name for tool in TOOLS}
