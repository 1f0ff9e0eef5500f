"""The kinds of artifacts as pages show them. One entry a kind; templates take the rest from it."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Request

from console.picking import Picked
from domain.artifacts import kinds as domain
from domain.artifacts.skills import FileRef
from domain.artifacts.versioned import Versioned
from domain.json_text import indented
from projections.read import prompts, skills
from projections.read.versions import Row, Version

BEARER = '-H "Authorization: Bearer $SKALD_KEY"'


class Entry(msgspec.Struct, frozen=True):
    """A line of a list: what the artifact says of itself, and a problem of it if there is one."""

    about: str
    problems: int = 0


class Content(msgspec.Struct, frozen=True):
    """One version: ``text`` is Markdown unless ``is_json``; ``fields`` are pairs of a name and a value to show."""

    text: str
    is_json: bool
    about: str
    note: str
    fields: list[tuple[str, str]]
    structured: list[tuple[str, str]]
    files: list[FileRef]
    problems: list[str]
    digest: str | None


class Door(msgspec.Struct, frozen=True):
    """A way to get an artifact: a line to paste, and where it brings another version than the page shows, or takes more, what."""

    name: str
    line: str
    about: str = ""


class Shown(msgspec.Struct, frozen=True):
    """A kind; ``plural`` is the segment of its addresses."""

    aggregate: type[Versioned]
    entry: Callable[[Row], Entry]
    content: Callable[[Version], Content]
    # Ways to get it, by the address of the service, project, name and version.
    install: Callable[[str, int, str, Picked], list[Door]]
    has_files: bool
    has_references: bool

    @property
    def kind(self) -> str:
        return self.aggregate.KIND

    @property
    def plural(self) -> str:
        return f"{self.aggregate.KIND}s"

    @property
    def title(self) -> str:
        return self.plural.capitalize()

    @property
    def resource(self) -> str:
        return self.aggregate.RESOURCE

    @property
    def read_scope(self) -> str:
        return f"{self.aggregate.SCOPE}:read"

    @property
    def write_scope(self) -> str:
        return f"{self.aggregate.SCOPE}:write"

    @property
    def promote_scope(self) -> str:
        return f"{self.aggregate.SCOPE}:promote"


_skill = msgspec.json.Decoder(skills.VersionDetails)
_prompt = msgspec.json.Decoder(prompts.Details)
_raw = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _skill_entry(row: Row) -> Entry:
    problems = len(skills.read_package(row.package)[0].spec_problems) if row.package is not None else 0
    return Entry(_skill.decode(row.details).description, problems)


def _skill_content(version: Version) -> Content:
    details = _skill.decode(version.details)
    summary, _ = skills.read_package(skills.packed(version))
    return Content(
        text=version.body.decode(),
        is_json=False,
        about=details.description,
        note=details.version_description,
        fields=[
            (name, value)
            for name, value in (
                ("License", details.license),
                ("Compatibility", details.compatibility),
                ("Allowed tools", ", ".join(details.allowed_tools)),
            )
            if value
        ],
        structured=_pairs(details.metadata),
        files=list(skills.read_manifest(version.manifest or b"[]").values()),
        problems=[problem.message for problem in summary.spec_problems],
        digest=summary.digest,
    )


def _skill_install(base: str, project_id: int, name: str, picked: Picked) -> list[Door]:
    resource = f"{base}/api/projects/{project_id}/llm_skills"
    plugin = f"skald-{project_id}"
    label, number = picked.label, picked.number
    pull = f"@{label}" if label else f" --version {number}" if number else ""
    latest = "Brings the latest version of every skill, not this one." if picked.query else ""
    shared = f" A share that serves {label} brings what the label points to." if label else ""
    return [
        Door("Command line", f"skald pull {name}{pull}"),
        Door("HTTP", f'curl -sS "{resource}/name/{name}/skill-md/{_asked(picked)}" {BEARER}'),
        Door(
            "Claude Code",
            f'claude plugin marketplace add "{resource}/marketplace.git" && claude plugin install {plugin}@{plugin}',
            latest,
        ),
        Door("Git", f'git clone --depth 1 "{resource}/marketplace.git"', latest + shared),
        Door("MCP", f"{base}/mcp", _by_tool("get_skill", picked)),
    ]


def _prompt_install(base: str, project_id: int, name: str, picked: Picked) -> list[Door]:
    resource = f"{base}/api/projects/{project_id}/llm_prompts"
    show = f" --version {picked.number}" if picked.number else ""
    at_label = "Shows the latest version: the command takes a version, no label." if picked.label else ""
    return [
        Door("HTTP", f'curl -sS "{resource}/name/{name}/{_asked(picked)}" {BEARER}'),
        Door("Command line", f"skald show {name} --kind prompt{show}", at_label),
        Door("MCP", f"{base}/mcp", _by_tool("get_prompt", picked)),
    ]


def _asked(picked: Picked) -> str:
    """The query that the API takes for the same."""
    return f"?{urlencode(picked.query)}" if picked.query else ""


def _by_tool(tool: str, picked: Picked) -> str:
    """What an agent says for the same: the address has all versions."""
    return "".join(f"{tool} takes {name}: {value}." for name, value in picked.query.items())


def _prompt_entry(row: Row) -> Entry:
    return Entry(_prompt.decode(row.details).preview)


def _prompt_content(version: Version) -> Content:
    details = _prompt.decode(version.details)
    is_json = version.body[:1] != b'"'
    config = bytes(details.config)
    return Content(
        text=indented(version.body) if is_json else prompts.text_of(version.body),
        is_json=is_json,
        about="",
        note=details.version_description,
        fields=[],
        structured=[]
        if config == b"null"
        else [(name, _written(value)) for name, value in _raw.decode(config).items()],
        files=[],
        problems=[],
        digest=None,
    )


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names with their values, texts as they are and the rest as JSON."""
    return [
        (name, value if isinstance(value, str) else msgspec.json.encode(value).decode())
        for name, value in values.items()
    ]


def _written(value: msgspec.Raw) -> str:
    """A text as it is, any other value as it was written."""
    return prompts.text_of(bytes(value))


# By kind; the order is that of the navigation.
SHOWN: Mapping[str, Shown] = {
    "skill": Shown(
        domain.KINDS["skill"],
        _skill_entry,
        _skill_content,
        _skill_install,
        has_files=True,
        has_references=False,
    ),
    "prompt": Shown(
        domain.KINDS["prompt"],
        _prompt_entry,
        _prompt_content,
        _prompt_install,
        has_files=False,
        has_references=True,
    ),
}


def kind_of(request: Request[Any, Any, Any]) -> Shown:
    """The kind of artifact that an address is about."""
    return SHOWN[request.route_handler.opt["kind"]]
