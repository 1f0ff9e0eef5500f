"""A tool's structured content had other numbers than the author wrote, and so had prompts; a prompt nested deep did not come at all."""

from typing import Any

import msgspec
import pytest

from api.mcp.tools import AS_WRITTEN
from tests.support.json_texts import strictly
from tests.support.mcp_client import ERAS, agent_on, call, message, post, text_of
from tests.support.service import Service

DIGITS = ["0.10", "-0", "1e400", "9" * 30, "1.0", "1E+2", "9007199254740993", "-0.0", "9" * 5000]
OTHERWISE = [f'{{"n":[{digits}]}}' for digits in DIGITS] + [
    '{"n":1,"n":2}',
    f'"{{{{v}}}}",{DIGITS[0]}'.join("[]"),
]
EXACT = '{"n":[0,-1,9007199254740991,0.1,-12.5,1e0]}'.replace("1e0", "true")
CALL = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "%b", "arguments": {%b, "config": {"c": %b}}}}'


@pytest.fixture(scope="module")
def key(running_service: Service) -> str:
    return running_service.make_key(project_ids=[running_service.make_project().id])


def write(service: Service, key: str, tool: str, arguments: str, config: str) -> dict[str, Any]:
    """The answer to a tool that gets these arguments as they are written."""
    answer = post(service, key, CALL % (tool.encode(), arguments.encode(), config.encode()))
    result: dict[str, Any] = answer.json()["result"]
    assert not result["isError"], result
    return result


@pytest.mark.parametrize("written", OTHERWISE)
def test_what_an_author_wrote_goes_as_text_alone(running_service: Service, key: str, written: str) -> None:
    name = f"p{OTHERWISE.index(written)}"
    write(running_service, key, "create_prompt", f'"name": "{name}", "prompt": "x"', "1")
    write(
        running_service,
        key,
        "edit_prompt",
        f'"name": "{name}", "base_version": 1, "prompt": {written}',
        written,
    )
    got = call(running_service, key, "get_prompt", name=name).json()["result"]
    assert f'"prompt":{written}' in got["content"][0]["text"]
    assert f'"config":{{"c":{written}}}' in got["content"][0]["text"]
    assert "structuredContent" not in got
    [said] = post(running_service, key, message("prompts/get", name=name)).json()["result"]["messages"]
    assert said["content"]["text"] == written


def test_what_all_readers_read_alike_is_structured_too(running_service: Service, key: str) -> None:
    write(running_service, key, "create_prompt", f'"name": "exact", "prompt": {EXACT}', EXACT)
    body = call(running_service, key, "get_prompt", name="exact").content
    result = msgspec.json.decode(body, type=dict[str, msgspec.Raw])["result"]
    fields = msgspec.json.decode(result, type=dict[str, msgspec.Raw])
    [content] = msgspec.json.decode(fields["content"])
    assert strictly(bytes(fields["structuredContent"])) == strictly(content["text"])


def test_parts_of_a_chat_stay_as_they_are_written(running_service: Service, key: str) -> None:
    part = '{"type":"input","n":0.10,"m":-0}'
    chat = f'[{{"role":"user","content":[{{"type":"text","text":"a"}},{part}]}},{{"role":"user","content":{part}}}]'
    write(running_service, key, "create_prompt", f'"name": "chat", "prompt": {chat}', "1")
    messages = post(running_service, key, message("prompts/get", name="chat")).json()["result"]["messages"]
    assert [one["content"]["text"] for one in messages] == ["a", part, part]


def test_metadata_of_a_skill_is_that_of_the_api(running_service: Service) -> None:
    project = running_service.make_project()
    key = running_service.make_key(project_ids=[project.id])
    sent = b'"name": "digits", "description": "d", "body": "b", "metadata": {"n": 0.10, "m": %b}' % (
        b"9" * 30
    )
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_skill","arguments":{%b}}}'
    created = post(running_service, key, body % sent).json()["result"]
    with running_service.client(key, project.id) as http:
        fields = msgspec.json.decode(http.get("llm_skills/name/digits").content, type=dict[str, msgspec.Raw])
    for result in (created, call(running_service, key, "get_skill", name="digits").json()["result"]):
        assert not result["isError"], result
        assert f'"metadata":{bytes(fields["metadata"]).decode()}' in result["content"][0]["text"]
        assert "structuredContent" not in result


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"k":', "}")])
async def test_a_prompt_as_deep_as_allowed_comes_and_goes(
    running_service: Service, era: str, opening: str, closing: str
) -> None:
    deep = opening * 256 + '"{{v}}"' + closing * 256
    async with agent_on(running_service, era) as agent:
        # The SDK's client cannot send so deep.
        write(running_service, agent.key, "create_prompt", f'"name": "deep", "prompt": {deep}', "1")
        got = await agent.client.call_tool("get_prompt", {"name": "deep"})
        assert not got.is_error
        assert f'"prompt":{deep}' in text_of(got)
        [said] = (await agent.client.get_prompt("deep", {"v": "w"})).messages
        assert said.content.text == deep.replace("{{v}}", "w")  # type: ignore[union-attr]
        [listed] = (await agent.client.list_prompts()).prompts
        assert [argument.name for argument in listed.arguments or []] == ["v"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_schema_of_the_answer_is_kept(running_service: Service, era: str) -> None:
    """Clients refuse an answer without structured content where there is a schema of it, so there is one only where it always comes."""
    async with agent_on(running_service, era) as agent:
        tools = {tool.name: tool.output_schema for tool in (await agent.client.list_tools()).tools}
    assert tools["get_skill_file"] is not None
    assert tools["list_skills"] is not None
    assert tools["list_prompts"] is not None
    assert tools["get_prompt"] is tools["get_skill"] is None
    for schema in filter(None, tools.values()):
        shapes = [schema, *schema.get("$defs", {}).values()]
        assert not any(AS_WRITTEN & shape.get("properties", {}).keys() for shape in shapes)


def test_arguments_that_are_no_json_are_refused_as_before(running_service: Service, key: str) -> None:
    for arguments in (b'"name": "\xff"', b'"name": 01', b'"name": [' + b"[" * 3000):
        body = (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_prompt","arguments":{%b}}}'
        )
        answer = post(running_service, key, body % arguments)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32700)


def test_a_place_in_an_address_may_be_anything_and_fails_in_words(running_service: Service, key: str) -> None:
    for name in ("9" * 5000, "[" * 500 + "]" * 500, "1e400"):
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_prompt","arguments":{"name":%b}}}'
        result = post(running_service, key, body % name.encode()).json()["result"]
        assert result["isError"], name
        assert '"attr"' in result["content"][0]["text"]
