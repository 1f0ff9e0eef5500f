"""A round trip by the client of openapi-python-client: ``with_openapi_python_client.py JOB``."""

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from skald_client import AuthenticatedClient
from skald_client import models as m
from skald_client.api.events import events_list
from skald_client.api.history import (
    llm_prompts_name_history_list,
    llm_skills_name_history_list,
)
from skald_client.api.packages import (
    llm_skills_import_create,
    llm_skills_name_export_retrieve,
)
from skald_client.api.prompts import (
    llm_prompts_create,
    llm_prompts_list,
    llm_prompts_name_labels_update,
    llm_prompts_name_partial_update,
    llm_prompts_name_retrieve,
    llm_prompts_resolve_name_retrieve,
)
from skald_client.api.skills import (
    llm_skills_create,
    llm_skills_list,
    llm_skills_name_files_create,
    llm_skills_name_files_retrieve,
    llm_skills_name_partial_update,
    llm_skills_name_retrieve,
    llm_skills_resolve_name_retrieve,
)
from skald_client.api.webhooks import webhooks_create
from skald_client.types import File

job = json.loads(sys.argv[1])
client = AuthenticatedClient(base_url=job["host"], token=job["key"], raise_on_unexpected_status=True)
project, done = job["project"], {}


def call(operation: Any, *path: str, **given: Any) -> Any:
    return operation.sync(project, *path, client=client, **given)


skill = m.CreateSkill(
    name="pdf-forms", description="Fill in forms.", body="# PDF\n\nFill it in.\n", allowed_tools=["Bash(git log:*)"],
    metadata=m.CreateSkillMetadata.from_dict({"team": "docs", "deep": {"n": [1, 2]}}),
    files=[m.FileBody(path="scripts/fill.py", content="print('filled')\n")],
)  # fmt: skip
created = call(llm_skills_create, body=skill)
done["created"] = [created.name, created.version, created.metadata.to_dict()]
got = call(llm_skills_name_retrieve, "pdf-forms")
done["got"] = [got.body, got.allowed_tools, [file.path for file in got.files]]
change = m.PublishSkill(base_version=1, edits=[m.EditBody(old="Fill it in.", new="Complete it.")])
done["patched"] = call(llm_skills_name_partial_update, "pdf-forms", body=change).version
done["listed"] = [one.name for one in call(llm_skills_list, search="pdf", limit=10).results]
resolved = call(llm_skills_resolve_name_retrieve, "pdf-forms")
done["resolved"] = [resolved.skill.body, [one.version for one in resolved.versions]]
added = m.AddFile(path="assets/dot.bin", content="AP8=", encoding=m.AddFileEncoding.BASE64, base_version=2)
done["added"] = call(llm_skills_name_files_create, "pdf-forms", body=added).version
kept = call(llm_skills_name_files_retrieve, "pdf-forms", "assets/dot.bin")
done["file"] = [kept.content, kept.encoding]
form = m.ImportForm(file=File(BytesIO(Path(job["archive"]).read_bytes()), "pdf.zip"))
imported = call(llm_skills_import_create, body=form, mode=m.LlmSkillsImportCreateMode.UPSERT)
done["imported"] = [imported.outcome, imported.name, imported.version]
# The type application/zip reaches the generator by config.yml.
zipped = call(llm_skills_name_export_retrieve, "pdf-forms")
assert zipped.payload.read(2) == b"PK"
past = call(llm_skills_name_history_list, "pdf-forms")
done["history"] = [[one.type_, one.version_after] for one in past.results]

prompt = m.CreatePrompt(
    name="support-agent", prompt="You help.", config=m.CreatePromptConfigType0.from_dict({"temperature": 0.5})
)
made = call(llm_prompts_create, body=prompt)
done["prompt created"] = [made.name, made.version, made.config.to_dict()]
text = m.PublishPrompt(base_version=1, edits=[m.EditBody(old="help", new="assist")])
done["prompt patched"] = call(llm_prompts_name_partial_update, "support-agent", body=text).version
label = call(llm_prompts_name_labels_update, "support-agent", "production", body=m.SetLabel(version=2))
done["prompt got"] = call(llm_prompts_name_retrieve, "support-agent", label=label.name).prompt
listed = call(llm_prompts_list, content=m.LlmPromptsListContent.PREVIEW).results
done["prompts listed"] = [[one.name, one.prompt_preview] for one in listed]
found = call(llm_prompts_resolve_name_retrieve, "support-agent")
done["prompt resolved"] = [found.prompt.prompt, [one.version for one in found.versions], found.labels[0].name]
past = call(llm_prompts_name_history_list, "support-agent")
done["prompt history"] = [one.type_ for one in past.results]

hook = call(webhooks_create, body=m.CreateWebhook(url="https://example.com/hooks?a=1"))
done["webhook"] = hook.url
done["feed"] = [[one.type_, one.subject] for one in call(events_list, after=0).results]
print(json.dumps(done))
