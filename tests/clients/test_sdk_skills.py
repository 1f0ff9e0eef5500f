"""The SDKs of Anthropic and OpenAI, unmodified, with a project as their base address."""

import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anthropic
import openai
import pytest
from anthropic.lib import files_from_dir

from tests.clients.conftest import CALL_WITHIN, Home
from tests.support.servers import ROOT

OTHER = "11111111111111111111111111111111"
SCRIPT = b"#!/bin/sh\r\necho \xff\x00\n"


def skill_md(name: str, text: str = "Read the form first.", description: str = "Fill in PDF forms.") -> bytes:
    return f"---\nname: {name}\ndescription: {description}\n---\n{text}\n".encode()


def files_of(name: str, text: str = "Read the form first.") -> list[tuple[str, bytes]]:
    return [(f"{name}/SKILL.md", skill_md(name, text)), (f"{name}/scripts/fill.sh", SCRIPT)]


def zip_of(files: list[tuple[str, bytes]]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files:
            archive.writestr(path, content)
    return data.getvalue()


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def claude(home: Home) -> Iterator[anthropic.Anthropic]:
    with claude_of(home) as client:
        yield client


@contextmanager
def claude_of(home: Home, key: str = "") -> Iterator[anthropic.Anthropic]:
    address = f"{home.host}/api/projects/{home.project_id}"
    with anthropic.Anthropic(api_key=key or home.key, base_url=address, max_retries=0) as client:
        yield client


@pytest.fixture
def gpt(home: Home) -> Iterator[openai.OpenAI]:
    with gpt_of(home) as client:
        yield client


@contextmanager
def gpt_of(home: Home, key: str = "") -> Iterator[openai.OpenAI]:
    address = f"{home.host}/api/projects/{home.project_id}/v1"
    with openai.OpenAI(api_key=key or home.key, base_url=address, max_retries=0) as client:
        yield client


def test_anthropic(home: Home, claude: anthropic.Anthropic, tmp_path: Path) -> None:
    for path, data in files_of("pdf-forms"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    made = claude.skills.create(files=files_from_dir(tmp_path / "pdf-forms"), display_name="PDF Förms 👩‍💻")
    assert (made.type, made.display_name, made.source.type) == ("skill", "PDF Förms 👩‍💻", "custom")
    assert made.id.startswith("skill_")
    assert made.latest_version_id.startswith("skillver_")
    assert made._request_id
    assert claude.skills.retrieve(made.id) == made

    other = claude.beta.skills.create(files=[("forms.zip", zip_of(files_of("other")))])
    assert other.display_name == "other"
    assert [one.id for one in claude.skills.list(limit=1)] == [other.id, made.id]
    assert len(claude.skills.list(limit=1).data) == 1
    assert list(claude.skills.list(source="anthropic")) == []
    assert len(list(claude.skills.list(source="custom"))) == 2

    second = claude.skills.versions.create(made.id, files=files_of("pdf-forms", "Second."))
    assert (second.type, second.skill_id, second.name) == ("skill_version", made.id, "pdf-forms")
    assert second.description == "Fill in PDF forms."
    assert claude.skills.retrieve(made.id).latest_version_id == second.id
    assert claude.skills.versions.retrieve("latest", skill_id=made.id) == second
    assert claude.skills.versions.retrieve(second.id, skill_id=made.id) == second
    versions = list(claude.skills.versions.list(made.id, limit=1))
    assert [one.id for one in versions] == [second.id, made.latest_version_id]

    first = claude.beta.skills.versions.download(made.latest_version_id, skill_id=made.id).read()
    with home.http() as http:
        assert first == http.get("llm_skills/name/pdf-forms/export/?version=1").content
        assert http.get("llm_skills/name/pdf-forms/?label=default").json()["version"] == 1
    assert unzipped(first)["pdf-forms/scripts/fill.sh"] == SCRIPT
    latest = claude.beta.skills.versions.download("latest", skill_id=made.id).read()
    assert b"Second." in unzipped(latest)["pdf-forms/SKILL.md"]

    gone = claude.skills.versions.delete(second.id, skill_id=made.id)
    assert (gone.id, gone.type) == (second.id, "skill_version_deleted")
    assert claude.skills.retrieve(made.id).latest_version_id == made.latest_version_id
    with pytest.raises(anthropic.NotFoundError):
        claude.skills.versions.retrieve(second.id, skill_id=made.id)
    with pytest.raises(anthropic.BadRequestError):
        claude.skills.versions.delete(made.latest_version_id, skill_id=made.id)

    deleted = claude.skills.delete(made.id)
    assert (deleted.id, deleted.type) == (made.id, "skill_deleted")
    with pytest.raises(anthropic.NotFoundError):
        claude.skills.retrieve(made.id)
    assert [one.id for one in claude.skills.list()] == [other.id]


def test_openai(home: Home, gpt: openai.OpenAI) -> None:
    made = gpt.skills.create(files=files_of("pdf-forms"))
    assert (made.object, made.name, made.description) == ("skill", "pdf-forms", "Fill in PDF forms.")
    assert (made.default_version, made.latest_version) == ("1", "1")
    assert made._request_id
    assert gpt.skills.retrieve(made.id) == made
    other = gpt.skills.create(files=("forms.zip", zip_of(files_of("other"))))

    assert [one.id for one in gpt.skills.list(limit=1)] == [other.id, made.id]
    assert [one.id for one in gpt.skills.list(limit=1, order="asc")] == [made.id, other.id]
    page = gpt.skills.list(after=other.id)
    assert ([one.id for one in page.data], page.has_more) == ([made.id], False)

    second = gpt.skills.versions.create(made.id, files=files_of("pdf-forms", "Second."))
    assert (second.object, second.version, second.skill_id) == ("skill.version", "2", made.id)
    assert (gpt.skills.retrieve(made.id).default_version, gpt.skills.retrieve(made.id).latest_version) == (
        "1",
        "2",
    )
    zipped = ("pdf-forms.zip", zip_of(files_of("pdf-forms", "Third.")))
    third = gpt.skills.versions.create(made.id, files=zipped, default=True)
    assert gpt.skills.retrieve(made.id).default_version == "3"
    assert gpt.skills.versions.retrieve("2", skill_id=made.id) == second
    assert gpt.skills.versions.retrieve("latest", skill_id=made.id) == third
    assert [one.version for one in gpt.skills.versions.list(made.id, limit=2)] == ["3", "2", "1"]
    rising = gpt.skills.versions.list(made.id, limit=2, order="asc")
    assert [one.version for one in rising] == ["1", "2", "3"]

    assert gpt.skills.update(made.id, default_version="2").default_version == "2"
    with home.http() as http:
        assert http.get("llm_skills/name/pdf-forms/?label=default").json()["version"] == 2
    assert b"Second." in unzipped(gpt.skills.content.retrieve(made.id).read())["pdf-forms/SKILL.md"]
    first = gpt.skills.versions.content.retrieve("1", skill_id=made.id).read()
    assert unzipped(first)["pdf-forms/scripts/fill.sh"] == SCRIPT

    gone = gpt.skills.versions.delete("2", skill_id=made.id)
    assert (gone.id, gone.version, gone.deleted) == (second.id, "2", True)
    assert gone.object == "skill.version.deleted"
    assert [one.version for one in gpt.skills.versions.list(made.id)] == ["3", "1"]
    assert gpt.skills.retrieve(made.id).default_version == "3"
    assert gpt.skills.versions.create(made.id, files=files_of("pdf-forms", "Fourth.")).version == "4"

    deleted = gpt.skills.delete(made.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "skill.deleted")
    with pytest.raises(openai.NotFoundError):
        gpt.skills.content.retrieve(made.id)


def test_the_errors_of_anthropic(home: Home, claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        claude.skills.retrieve(f"skill_{OTHER}")
    assert (unknown.value.type, unknown.value.status_code) == ("not_found_error", 404)
    assert unknown.value.request_id == unknown.value.body["request_id"]  # type: ignore[index]
    with pytest.raises(anthropic.BadRequestError) as bad:
        claude.skills.create(files=[("SKILL.md", skill_md("pdf-forms"))])
    assert bad.value.type == "invalid_request_error"
    assert "top folder" in (bad.value.api_message or "")
    with claude_of(home, "sk_wrong") as stranger, pytest.raises(anthropic.AuthenticationError) as wrong:
        stranger.skills.list()
    assert wrong.value.type == "authentication_error"
    with claude_of(home, home.other_key("llm_skill:read")) as reader:
        with pytest.raises(anthropic.PermissionDeniedError) as denied:
            reader.skills.create(files=files_of("pdf-forms"))
        assert denied.value.type == "permission_error"
        assert list(reader.skills.list()) == []


def test_the_errors_of_openai(home: Home, gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        gpt.skills.versions.list(f"skill_{OTHER}")
    assert (unknown.value.code, unknown.value.type) == ("not_found", "invalid_request_error")
    assert unknown.value.request_id
    with pytest.raises(openai.BadRequestError) as bad:
        gpt.skills.create()
    assert (bad.value.code, bad.value.param) == ("required", "files")
    with gpt_of(home, "sk_wrong") as stranger, pytest.raises(openai.AuthenticationError) as wrong:
        stranger.skills.list()
    assert wrong.value.code == "authentication_failed"
    with (
        gpt_of(home, home.other_key("llm_skill:read")) as reader,
        pytest.raises(openai.PermissionDeniedError),
    ):
        reader.skills.create(files=files_of("pdf-forms"))


@pytest.mark.parametrize(("place", "printed"), [(0, ["PDF forms"]), (1, ["pdf-forms 1", "pdf-forms 2"])])
def test_the_programs_of_the_page(home: Home, tmp_path: Path, place: int, printed: list[str]) -> None:
    section = (ROOT / "docs/install-skills.md").read_text().partition("## SDKs\n")[2].partition("\n## ")[0]
    program = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[place]
    (tmp_path / "pdf-forms").mkdir()
    (tmp_path / "pdf-forms/SKILL.md").write_bytes(skill_md("pdf-forms"))
    done = subprocess.run(
        [sys.executable, "-c", program.replace("/projects/1", f"/projects/{home.project_id}")],
        env={"PATH": os.environ["PATH"], "SKALD_KEY": home.key, "SKALD_URL": home.host},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=CALL_WITHIN,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == len(printed)
    assert all(wanted in line for wanted, line in zip(printed, lines, strict=True))
    assert list(unzipped((tmp_path / "pdf-forms.zip").read_bytes())) == ["pdf-forms/SKILL.md"]
