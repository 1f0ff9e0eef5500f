// A round trip by the fetch client of orval.
import * as api from "./skald-client";

type Job = { host: string; key: string; project: string; archive: string };

/** The data of an answer that must be one of these. */
function data<A extends { status: number; data: unknown }, S extends A["status"]>(
  answer: A, ...statuses: S[]
): Extract<A, { status: S }>["data"] {
  if (!(statuses as number[]).includes(answer.status)) throw new Error(JSON.stringify(answer));
  return answer.data as Extract<A, { status: S }>["data"];
}

export async function run(job: Job, archive: Blob): Promise<Record<string, unknown>> {
  // Its addresses are relative, as those of a page of the same origin, unless `baseUrl` is in its configuration.
  const send = fetch;
  globalThis.fetch = (address, init) => send(new URL(String(address), job.host), init);
  const headers = { Authorization: `Bearer ${job.key}` };
  const project = job.project, done: Record<string, unknown> = {};

  const created = data(await api.llmSkillsCreate(project, {
    name: "pdf-forms", description: "Fill in forms.", body: "# PDF\n\nFill it in.\n", allowed_tools: ["Bash(git log:*)"],
    metadata: { team: "docs", deep: { n: [1, 2] } }, files: [{ path: "scripts/fill.py", content: "print('filled')\n" }],
  }, { headers }), 201);
  done["created"] = [created.name, created.version, created.metadata];
  const got = data(await api.llmSkillsNameRetrieve(project, "pdf-forms", {}, { headers }), 200);
  done["got"] = [got.body, got.allowed_tools, got.files.map((file) => file.path)];
  const change = { base_version: 1, edits: [{ old: "Fill it in.", new: "Complete it." }] };
  done["patched"] = data(await api.llmSkillsNamePartialUpdate(project, "pdf-forms", change, { headers }), 200).version;
  const page = data(await api.llmSkillsList(project, { search: "pdf", limit: 10 }, { headers }), 200);
  done["listed"] = page.results.map((one) => one.name);
  const resolved = data(await api.llmSkillsResolveNameRetrieve(project, "pdf-forms", {}, { headers }), 200);
  done["resolved"] = [resolved.skill.body, resolved.versions.map((one) => one.version)];
  const file = { path: "assets/dot.bin", content: "AP8=", encoding: api.AddFileEncoding.base64, base_version: 2 };
  done["added"] = data(await api.llmSkillsNameFilesCreate(project, "pdf-forms", file, { headers }), 201).version;
  const kept = data(await api.llmSkillsNameFilesRetrieve(project, "pdf-forms", "assets/dot.bin", {}, { headers }), 200);
  done["file"] = [kept.content, kept.encoding];
  const answer = await api.llmSkillsImportCreate(project, { file: archive }, { mode: "upsert" }, { headers });
  const imported = data(answer, 200, 201);
  done["imported"] = [imported.outcome, imported.name, imported.version];
  const past = data(await api.llmSkillsNameHistoryList(project, "pdf-forms", {}, { headers }), 200);
  done["history"] = past.results.map((one) => [one.type, one.version_after]);

  const prompt = { name: "support-agent", prompt: "You help.", config: { temperature: 0.5 } };
  const made = data(await api.llmPromptsCreate(project, prompt, { headers }), 201);
  done["prompt created"] = [made.name, made.version, made.config];
  const text = { base_version: 1, edits: [{ old: "help", new: "assist" }] };
  done["prompt patched"] = data(await api.llmPromptsNamePartialUpdate(project, "support-agent", text, { headers }), 200).version;
  const label = data(
    await api.llmPromptsNameLabelsUpdate(project, "support-agent", "production", { version: 2 }, { headers }), 200, 201,
  ).name;
  done["prompt got"] = data(await api.llmPromptsNameRetrieve(project, "support-agent", { label }, { headers }), 200).prompt;
  const listed = data(await api.llmPromptsList(project, { content: "preview" }, { headers }), 200);
  done["prompts listed"] = listed.results.map((one) => [one.name, one.prompt_preview]);
  const found = data(await api.llmPromptsResolveNameRetrieve(project, "support-agent", {}, { headers }), 200);
  done["prompt resolved"] = [found.prompt.prompt, found.versions.map((one) => one.version), found.labels[0]?.name];
  const before = data(await api.llmPromptsNameHistoryList(project, "support-agent", {}, { headers }), 200);
  done["prompt history"] = before.results.map((one) => one.type);

  const hook = { url: "https://example.com/hooks?a=1" };
  done["webhook"] = data(await api.webhooksCreate(project, hook, { headers }), 201).url;
  const feed = data(await api.eventsList(project, { after: 0 }, { headers }), 200);
  done["feed"] = feed.results.map((one) => [one.type, one.subject]);
  return done;
}
