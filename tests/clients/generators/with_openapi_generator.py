"""A round trip by the Python client of openapi-generator: ``with_openapi_generator.py JOB``."""

import json
import sys
from pathlib import Path

from skald_client import ApiClient, Configuration
from skald_client import api as apis
from skald_client import models as m

job = json.loads(sys.argv[1])
client = ApiClient(Configuration(host=job["host"], access_token=job["key"]))
skills, packages, prompts = apis.SkillsApi(client), apis.PackagesApi(client), apis.PromptsApi(client)
history, events, webhooks = apis.HistoryApi(client), apis.EventsApi(client), apis.WebhooksApi(client)
project, done = job["project"], {}

file = m.FileBody(path="scripts/fill.py", content="print('filled')\n")
skill = m.CreateSkill(
    name="pdf-forms", description="Fill in forms.", body="# PDF\n\nFill it in.\n", allowed_tools=["Bash(git log:*)"],
    metadata={"team": "docs", "deep": {"n": [1, 2]}}, files=[file],
)  # fmt: skip
created = skills.llm_skills_create(project, skill)
done["created"] = [created.name, created.version, created.metadata]
got = skills.llm_skills_name_retrieve(project, "pdf-forms")
done["got"] = [got.body, got.allowed_tools, [file.path for file in got.files]]
change = m.PublishSkill(base_version=1, edits=[m.EditBody(old="Fill it in.", new="Complete it.")])
done["patched"] = skills.llm_skills_name_partial_update(project, "pdf-forms", publish_skill=change).version
done["listed"] = [one.name for one in skills.llm_skills_list(project, search="pdf", limit=10).results]
resolved = skills.llm_skills_resolve_name_retrieve(project, "pdf-forms")
done["resolved"] = [resolved.skill.body, [one.version for one in resolved.versions]]
added = m.AddFile(path="assets/dot.bin", content="AP8=", encoding="base64", base_version=2)
done["added"] = skills.llm_skills_name_files_create(project, "pdf-forms", added).version
kept = skills.llm_skills_name_files_retrieve(project, "pdf-forms", "assets/dot.bin")
done["file"] = [kept.content, kept.encoding]
archive = Path(job["archive"]).read_bytes()
imported = packages.llm_skills_import_create(project, ("pdf.zip", archive), mode="upsert")
done["imported"] = [imported.outcome, imported.name, imported.version]
past = history.llm_skills_name_history_list(project, "pdf-forms")
done["history"] = [[one.type, one.version_after] for one in past.results]

prompt = m.CreatePrompt(name="support-agent", prompt="You help.", config={"temperature": 0.5})
made = prompts.llm_prompts_create(project, prompt)
done["prompt created"] = [made.name, made.version, made.config]
text = m.PublishPrompt(base_version=1, edits=[m.EditBody(old="help", new="assist")])
done["prompt patched"] = prompts.llm_prompts_name_partial_update(
    project, "support-agent", publish_prompt=text
).version
label = prompts.llm_prompts_name_labels_update(project, "support-agent", "production", m.SetLabel(version=2))
done["prompt got"] = prompts.llm_prompts_name_retrieve(project, "support-agent", label=label.name).prompt
listed = prompts.llm_prompts_list(project, content="preview").results
done["prompts listed"] = [[one.name, one.prompt_preview] for one in listed]
found = prompts.llm_prompts_resolve_name_retrieve(project, "support-agent")
done["prompt resolved"] = [found.prompt.prompt, [one.version for one in found.versions], found.labels[0].name]
past = history.llm_prompts_name_history_list(project, "support-agent")
done["prompt history"] = [one.type for one in past.results]

hook = webhooks.webhooks_create(project, m.CreateWebhook(url="https://example.com/hooks?a=1"))
done["webhook"] = hook.url
feed = events.events_list(project, after=0)
done["feed"] = [[one.type, one.subject] for one in feed.results]
print(json.dumps(done))
