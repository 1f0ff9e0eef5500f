// A round trip by the client of @hey-api/openapi-ts.
import * as api from "./skald-client";
import { client } from "./skald-client/client.gen";

type Job = { host: string; key: string; project: string; archive: string };

export async function run(job: Job, archive: Blob): Promise<Record<string, unknown>> {
  client.setConfig({ baseUrl: job.host, auth: job.key, throwOnError: true });
  const project = { project_id: job.project };
  const skill = { ...project, skill_name: "pdf-forms" }, prompt = { ...project, prompt_name: "support-agent" };
  const throwOnError = true, done: Record<string, unknown> = {};

  const created = (await api.llmSkillsCreate({ throwOnError, path: project, body: {
    name: "pdf-forms", description: "Fill in forms.", body: "# PDF\n\nFill it in.\n", allowed_tools: ["Bash(git log:*)"],
    metadata: { team: "docs", deep: { n: [1, 2] } }, files: [{ path: "scripts/fill.py", content: "print('filled')\n" }],
  } })).data;
  done["created"] = [created.name, created.version, created.metadata];
  const got = (await api.llmSkillsNameRetrieve({ throwOnError, path: skill })).data;
  done["got"] = [got.body, got.allowed_tools, got.files.map((file) => file.path)];
  const change = { base_version: 1, edits: [{ old: "Fill it in.", new: "Complete it." }] };
  done["patched"] = (await api.llmSkillsNamePartialUpdate({ throwOnError, path: skill, body: change })).data.version;
  const page = (await api.llmSkillsList({ throwOnError, path: project, query: { search: "pdf", limit: 10 } })).data;
  done["listed"] = page.results.map((one) => one.name);
  const resolved = (await api.llmSkillsResolveNameRetrieve({ throwOnError, path: skill })).data;
  done["resolved"] = [resolved.skill.body, resolved.versions.map((one) => one.version)];
  const file = { path: "assets/dot.bin", content: "AP8=", encoding: "base64", base_version: 2 } as const;
  done["added"] = (await api.llmSkillsNameFilesCreate({ throwOnError, path: skill, body: file })).data.version;
  const address = { ...skill, file_path: "assets/dot.bin" };
  const kept = (await api.llmSkillsNameFilesRetrieve({ throwOnError, path: address })).data;
  done["file"] = [kept.content, kept.encoding];
  const imported = (await api.llmSkillsImportCreate({
    throwOnError, path: project, body: { file: archive }, query: { mode: "upsert" },
  })).data;
  done["imported"] = [imported.outcome, imported.name, imported.version];
  const past = (await api.llmSkillsNameHistoryList({ throwOnError, path: skill })).data;
  done["history"] = past.results.map((one) => [one.type, one.version_after]);

  const made = (await api.llmPromptsCreate({ throwOnError, path: project, body: {
    name: "support-agent", prompt: "You help.", config: { temperature: 0.5 },
  } })).data;
  done["prompt created"] = [made.name, made.version, made.config];
  const text = { base_version: 1, edits: [{ old: "help", new: "assist" }] };
  done["prompt patched"] = (await api.llmPromptsNamePartialUpdate({ throwOnError, path: prompt, body: text })).data.version;
  const label = (await api.llmPromptsNameLabelsUpdate({
    throwOnError, path: { ...prompt, label_name: "production" }, body: { version: 2 },
  })).data.name;
  done["prompt got"] = (await api.llmPromptsNameRetrieve({ throwOnError, path: prompt, query: { label } })).data.prompt;
  const listed = (await api.llmPromptsList({ throwOnError, path: project, query: { content: "preview" } })).data;
  done["prompts listed"] = listed.results.map((one) => [one.name, one.prompt_preview]);
  const found = (await api.llmPromptsResolveNameRetrieve({ throwOnError, path: prompt })).data;
  done["prompt resolved"] = [found.prompt.prompt, found.versions.map((one) => one.version), found.labels[0]?.name];
  const before = (await api.llmPromptsNameHistoryList({ throwOnError, path: prompt })).data;
  done["prompt history"] = before.results.map((one) => one.type);

  const hook = { url: "https://example.com/hooks?a=1" };
  done["webhook"] = (await api.webhooksCreate({ throwOnError, path: project, body: hook })).data.url;
  const feed = (await api.eventsList({ throwOnError, path: project, query: { after: 0 } })).data;
  done["feed"] = feed.results.map((one) => [one.type, one.subject]);
  return done;
}
