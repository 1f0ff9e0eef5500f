"""What the MCP endpoint gives to be read: skills as resources and by the extension for them, prompts as prompts."""

import asyncio
import base64
import hashlib
from typing import Any

import msgspec
import pytest
import yaml
from mcp.shared.exceptions import MCPError
from mcp_types import BlobResourceContents, TextContent, TextResourceContents

from api.mcp.frontmatter import read_frontmatter
from api.mcp.prompts import messages_of, variables_of
from tests.support.mcp_client import ERAS, Agent, agent_on, message, post
from tests.support.service import Service

BINARY = bytes(range(256))
SKILL = {
    "name": "pdf-forms",
    "description": 'Fill in forms: "all" of them. Use when: a form is there.',
    "body": "# Forms\r\n\nRead ünïcode – then fill.\n\n---\n",
    "license": "MIT",
    "compatibility": "1.0",
    "allowed_tools": ["Read", "Bash(git log:*)"],
    "metadata": {"team": "docs", "level": 3, "yes": "no", "date": "2026-01-01", "list": [1, "a"]},
    "files": [
        {"path": "scripts/fill.py", "content": "#!/usr/bin/env python3\n", "content_type": "text/x-python"},
        {"path": "templates/a b/#1?.md", "content": "", "content_type": "text/markdown"},
        {"path": "templates/eu.md", "content": "x\r\n"},
        {
            "path": "logo.bin",
            "content": base64.b64encode(BINARY).decode(),
            "encoding": "base64",
            "content_type": "application/octet-stream",
        },
    ],
}


async def read(agent: Agent, uri: str) -> bytes:
    """The bytes of a resource."""
    (content,) = (await agent.client.read_resource(uri)).contents
    assert content.uri == uri
    if isinstance(content, BlobResourceContents):
        return base64.b64decode(content.blob)
    assert isinstance(content, TextResourceContents)
    return content.text.encode()


@pytest.mark.parametrize("era", ERAS)
async def test_skills_are_listed_and_read_byte_for_byte(running_service: Service, era: str) -> None:
    async with agent_on(running_service, era) as agent:
        await agent.call("create_skill", **SKILL)
        (listed,) = (await agent.client.list_resources()).resources
        assert (listed.uri, listed.name) == ("skill://pdf-forms/SKILL.md", "pdf-forms")
        assert (listed.mime_type, listed.description) == ("text/markdown", SKILL["description"])

        skill_md = await read(agent, listed.uri)
        with agent.http() as http:
            assert skill_md == http.get("llm_skills/name/pdf-forms/skill-md/").content
        assert len(skill_md) == listed.size
        assert skill_md.endswith(SKILL["body"].encode())  # type: ignore[attr-defined]

        entry = (await agent.ask("skills/get", uri=listed.uri))["skill"]
        assert entry == (await agent.ask("skills/list"))["skills"][0]
        assert [one["uri"] for one in entry["resources"]] == [
            "skill://pdf-forms/SKILL.md",
            "skill://pdf-forms/logo.bin",
            "skill://pdf-forms/scripts/fill.py",
            "skill://pdf-forms/templates/a%20b/%231%3F.md",
            "skill://pdf-forms/templates/eu.md",
        ]
        for one in entry["resources"]:
            data = await read(agent, one["uri"])
            assert (one["size"], one["digest"]) == (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
        assert await read(agent, "skill://pdf-forms/logo.bin") == BINARY
        (blob,) = (await agent.client.read_resource("skill://pdf-forms/logo.bin")).contents
        assert blob.mime_type == "application/octet-stream"


async def test_the_frontmatter_of_an_entry_is_that_of_its_skill_md(running_service: Service) -> None:
    async with agent_on(running_service) as agent:
        await agent.call("create_skill", **SKILL)
        await agent.call("edit_skill", name="pdf-forms", base_version=1, description="Other: than before")
        entry = (await agent.ask("skills/get", uri="skill://pdf-forms/SKILL.md"))["skill"]
        head = (await read(agent, entry["uri"])).split(b"---\n")[1]
        # Hosts compare field by field what their own reader of YAML finds, old ones included.
        assert entry["frontmatter"] == yaml.safe_load(head) == yaml.load(head, Loader=yaml.BaseLoader)
        assert entry["frontmatter"]["metadata"]["version"] == "2"
        assert entry["frontmatter"]["allowed-tools"] == "Read Bash(git log:*)"


async def test_folders_are_listed(running_service: Service) -> None:
    async with agent_on(running_service) as agent:
        await agent.call("create_skill", **SKILL)

        async def listed(uri: str) -> list[tuple[str, str]]:
            found = (await agent.ask("resources/directory/read", uri=uri))["resources"]
            return [(one["uri"].removeprefix("skill://pdf-forms/"), one["mimeType"]) for one in found]

        root = await listed("skill://pdf-forms")
        assert root == [
            ("SKILL.md", "text/markdown"),
            ("logo.bin", "application/octet-stream"),
            ("scripts", "inode/directory"),
            ("templates", "inode/directory"),
        ]
        assert await listed("skill://pdf-forms/templates") == [
            ("templates/a%20b", "inode/directory"),
            ("templates/eu.md", "text/plain"),
        ]
        assert await listed("skill://pdf-forms/templates/a%20b") == [
            ("templates/a%20b/%231%3F.md", "text/markdown")
        ]
        for uri in ("skill://pdf-forms/SKILL.md", "skill://pdf-forms/nothing", "skill://other"):
            with pytest.raises(MCPError) as refused:
                await listed(uri)
            assert refused.value.error.code == -32602


@pytest.mark.parametrize("era", ERAS)
async def test_what_is_not_there_is_told(running_service: Service, era: str) -> None:
    async with agent_on(running_service, era) as agent, agent_on(running_service, era) as other:
        await agent.call("create_skill", **SKILL)
        for uri in (
            "skill://pdf-form/SKILL.md",
            "skill://pdf-forms/skill.md",
            "skill://pdf-forms/../SKILL.md",
            "skill://pdf-forms/a%00b",
            "skill://pdf-forms/%ff",
            "skill://pdf-forms/SKILL.md?version=1",
            "skill://pdf-forms",
            "skill://PDF-forms/SKILL.md",
            "skill:///SKILL.md",
            "skill://[/SKILL.md",
            "file:///etc/passwd",
            "",
        ):
            with pytest.raises(MCPError) as refused:
                await agent.client.read_resource(uri)
            assert refused.value.error.code == -32602, uri
        with pytest.raises(MCPError) as close:
            await agent.client.read_resource("skill://pdf-form/SKILL.md")
        assert close.value.error.data["suggestions"] == ["pdf-forms"]
        assert close.value.error.data["uri"] == "skill://pdf-form/SKILL.md"
        for uri in ("skill://pdf-forms/SKILL.md", "skill://pdf-forms/logo.bin"):
            with pytest.raises(MCPError) as refused:
                await other.client.read_resource(uri)
            assert refused.value.error.code == -32602
        with pytest.raises(MCPError):
            await other.ask("skills/get", uri="skill://pdf-forms/SKILL.md")
        assert (await other.ask("skills/list"))["skills"] == []
        assert (await other.client.list_resources()).resources == []


@pytest.mark.parametrize("era", ERAS)
async def test_every_revision_declares_the_extension(running_service: Service, era: str) -> None:
    async with agent_on(running_service, era) as agent:
        assert agent.client.server_capabilities.extensions == {
            "io.modelcontextprotocol/skills": {"directoryRead": True}
        }


async def test_answers_of_the_extension_say_how_long_they_hold(running_service: Service) -> None:
    async with agent_on(running_service) as agent:
        await agent.call("create_skill", **SKILL)
        for method, params in {
            "skills/list": {},
            "skills/get": {"uri": "skill://pdf-forms/SKILL.md"},
            "resources/directory/read": {"uri": "skill://pdf-forms"},
        }.items():
            answer = await agent.ask(method, **params)
            assert (answer["resultType"], answer["ttlMs"], answer["cacheScope"]) == (
                "complete",
                0,
                "private",
            ), method


async def test_reads_need_the_scope(running_service: Service) -> None:
    async with agent_on(running_service, scopes=("llm_prompt:read",)) as agent:
        for ask in (
            agent.client.list_resources(),
            agent.ask("skills/list"),
            read(agent, "skill://a/SKILL.md"),
        ):
            with pytest.raises(MCPError, match="required scope 'llm_skill:read'"):
                await ask
    async with agent_on(running_service, scopes=("llm_skill:read",)) as agent:
        with pytest.raises(MCPError, match="required scope 'llm_prompt:read'"):
            await agent.client.list_prompts()


async def test_long_lists_come_in_pages(running_service: Service) -> None:
    async with agent_on(running_service) as agent:
        names = [f"skill-{number:03}" for number in range(103)]
        await asyncio.gather(
            *(agent.call("create_skill", name=name, description="d", body="b") for name in names)
        )
        first = await agent.client.list_resources()
        assert first.next_cursor is not None
        second = await agent.client.list_resources(cursor=first.next_cursor)
        assert [one.name for one in (*first.resources, *second.resources)] == names
        assert second.next_cursor is None

        found: list[str] = []
        cursor: dict[str, str] = {}
        for _ in range(3):
            page = await agent.ask("skills/list", **cursor)
            found += [one["frontmatter"]["name"] for one in page["skills"]]
            if "nextCursor" not in page:
                break
            cursor = {"cursor": page["nextCursor"]}
        assert found == names


# Prompts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_prompts_are_filled_in(running_service: Service, era: str) -> None:
    async with agent_on(running_service, era) as agent:
        await agent.call("create_prompt", name="Greeter", prompt="Greet {{who}} in {{lang}}, {{who}}!")
        await agent.call(
            "edit_prompt", name="Greeter", base_version=1, prompt="Hail {{who}}", version_description="Short"
        )
        await agent.call("set_prompt_label", name="Greeter", label="production", version=1)

        (listed,) = (await agent.client.list_prompts()).prompts
        assert (listed.name, listed.description) == ("Greeter", "Short")
        assert [argument.name for argument in listed.arguments or []] == ["who"]

        for name, text in {
            "Greeter": "Hail Ada",
            "Greeter@production": "Greet Ada in {{lang}}, Ada!",
            "Greeter@1": "Greet Ada in {{lang}}, Ada!",
        }.items():
            got = await agent.client.get_prompt(name, {"who": "Ada"})
            assert [(one.role, one.content) for one in got.messages] == [("user", TextContent(text=text))]
        for name in ("greeter", "Greeter@none", "Greeter@9", "a/b", ""):
            with pytest.raises(MCPError) as refused:
                await agent.client.get_prompt(name)
            assert refused.value.error.code == -32602


@pytest.mark.parametrize("era", ERAS)
async def test_every_prompt_has_a_description(running_service: Service, era: str) -> None:
    async with agent_on(running_service, era) as agent:
        chat = [{"role": "system", "content": [{"type": "text", "text": " You  help\n{{who}}. "}]}]
        await agent.call("create_prompt", name="Chat", prompt=chat)
        await agent.call("create_prompt", name="Json", prompt={"a": 1})
        await agent.call("create_prompt", name="Long", prompt="word " * 100)
        await agent.call("create_prompt", name="Said", prompt="x", version_description="Says x")
        listed = {one.name: one.description or "" for one in (await agent.client.list_prompts()).prompts}
        assert (listed["Chat"], listed["Json"], listed["Said"]) == (
            "You help {{who}}.",
            '{"a":1}',
            "Says x",
        )
        assert (listed["Long"][:10], listed["Long"][-1], len(listed["Long"])) == ("word word ", "…", 100)
        for name, description in listed.items():
            assert (await agent.client.get_prompt(name)).description == description


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("Hi {{x}} {{ y }} {{z.1}}", [("user", "Hi {{1}} {{ y }} {{z.1}}")]),
        (
            [{"role": "system", "content": "Be {{x}}"}, {"role": "assistant", "content": "ok"}],
            [("user", "Be {{1}}"), ("assistant", "ok")],
        ),
        (
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image", "url": "u"}]}],
            [("user", "a"), ("user", '{"type":"image","url":"u"}')],
        ),
        ([{"role": "user", "content": None}], [("user", "null")]),
        ([], [("user", "[]")]),
        ({"system": "é {{x}}"}, [("user", '{"system":"é {{1}}"}')]),
        (5, [("user", "5")]),
    ],
)
def test_every_prompt_makes_messages(prompt: Any, said: list[tuple[str, str]]) -> None:
    messages = messages_of(msgspec.json.encode(prompt), {"x": "{{1}}", "y": "never"})
    assert [(one.role, one.content.text) for one in messages if isinstance(one.content, TextContent)] == said


def test_variables_are_found_once_and_at_any_depth() -> None:
    prompt = [{"a": "{{x}} {{y-1}}"}, ["{{x}}", {"b": {"c": "{{z}}"}}], 1, None]
    assert variables_of(msgspec.json.encode(prompt)) == ["x", "y-1", "z"]


def test_a_cursor_is_ours_or_refused(running_service: Service) -> None:
    for method in ("resources/list", "prompts/list", "skills/list"):
        answer = post(running_service, running_service.key, message(method, cursor="²"))
        assert answer.json()["error"]["code"] == -32602


# Frontmatter -------------------------------------------------------------------------------------------------------


def test_frontmatter_is_read_by_the_core_schema() -> None:
    source = (
        "a: yes\nb: true\nc: 010\nd: 0x1f\ne: 1e3\nf: ~\ng:\nh: 2026-01-01\ni: .5\nj: .inf\nk: '1'\n"
        "l: [1, x, {m: -2}]\n3: three\nn: 1_000\no: !!binary aGk=\n"
        f"p: {'9' * 400}\nq: 1e999\n"
    )
    assert read_frontmatter(source) == {
        "a": "yes",
        "b": True,
        "c": 10,
        "d": 31,
        "e": 1000.0,
        "f": None,
        "g": None,
        "h": "2026-01-01",
        "i": 0.5,
        "j": ".inf",
        "k": "1",
        "l": [1, "x", {"m": -2}],
        "3": "three",
        "n": "1_000",
        "o": "aGk=",
        "p": "9" * 400,
        "q": "1e999",
    }
