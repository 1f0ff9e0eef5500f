// A round trip by the typescript-fetch client of openapi-generator.
import {
  AddFileEncodingEnum, Configuration, EventsApi, HistoryApi, LlmPromptsListContentEnum, LlmSkillsImportCreateModeEnum,
  PackagesApi, PromptsApi, SkillsApi, WebhooksApi,
} from "./skald-client";

type Job = { host: string; key: string; project: string; archive: string };

export async function run(job: Job, archive: Blob): Promise<Record<string, unknown>> {
  const configuration = new Configuration({ basePath: job.host, accessToken: job.key });
  const skills = new SkillsApi(configuration), packages = new PackagesApi(configuration);
  const prompts = new PromptsApi(configuration), history = new HistoryApi(configuration);
  const events = new EventsApi(configuration), webhooks = new WebhooksApi(configuration);
  const projectId = job.project, skillName = "pdf-forms", promptName = "support-agent";
  const done: Record<string, unknown> = {};

  const created = await skills.llmSkillsCreate({ projectId, createSkill: {
    name: skillName, description: "Fill in forms.", body: "# PDF\n\nFill it in.\n", allowedTools: ["Bash(git log:*)"],
    metadata: { team: "docs", deep: { n: [1, 2] } }, files: [{ path: "scripts/fill.py", content: "print('filled')\n" }],
  } });
  done["created"] = [created.name, created.version, created.metadata];
  const got = await skills.llmSkillsNameRetrieve({ projectId, skillName });
  done["got"] = [got.body, got.allowedTools, got.files.map((file) => file.path)];
  const publishSkill = { baseVersion: 1, edits: [{ old: "Fill it in.", _new: "Complete it." }] };
  done["patched"] = (await skills.llmSkillsNamePartialUpdate({ projectId, skillName, publishSkill })).version;
  done["listed"] = (await skills.llmSkillsList({ projectId, search: "pdf", limit: 10 })).results.map((one) => one.name);
  const resolved = await skills.llmSkillsResolveNameRetrieve({ projectId, skillName });
  done["resolved"] = [resolved.skill.body, resolved.versions.map((one) => one.version)];
  const addFile = { path: "assets/dot.bin", content: "AP8=", encoding: AddFileEncodingEnum.Base64, baseVersion: 2 };
  done["added"] = (await skills.llmSkillsNameFilesCreate({ projectId, skillName, addFile })).version;
  const kept = await skills.llmSkillsNameFilesRetrieve({ projectId, skillName, filePath: "assets/dot.bin" });
  done["file"] = [kept.content, kept.encoding];
  const mode = LlmSkillsImportCreateModeEnum.Upsert;
  const imported = await packages.llmSkillsImportCreate({ projectId, file: archive, mode });
  done["imported"] = [imported.outcome, imported.name, imported.version];
  const past = await history.llmSkillsNameHistoryList({ projectId, skillName });
  done["history"] = past.results.map((one) => [one.type, one.versionAfter]);

  const made = await prompts.llmPromptsCreate({ projectId, createPrompt: {
    name: promptName, prompt: "You help.", config: { temperature: 0.5 },
  } });
  done["prompt created"] = [made.name, made.version, made.config];
  const publishPrompt = { baseVersion: 1, edits: [{ old: "help", _new: "assist" }] };
  done["prompt patched"] = (await prompts.llmPromptsNamePartialUpdate({ projectId, promptName, publishPrompt })).version;
  const label = (await prompts.llmPromptsNameLabelsUpdate({
    projectId, promptName, labelName: "production", setLabel: { version: 2 },
  })).name;
  done["prompt got"] = (await prompts.llmPromptsNameRetrieve({ projectId, promptName, label })).prompt;
  const listed = await prompts.llmPromptsList({ projectId, content: LlmPromptsListContentEnum.Preview });
  done["prompts listed"] = listed.results.map((one) => [one.name, one.promptPreview]);
  const found = await prompts.llmPromptsResolveNameRetrieve({ projectId, promptName });
  done["prompt resolved"] = [found.prompt.prompt, found.versions.map((one) => one.version), found.labels[0]?.name];
  const before = await history.llmPromptsNameHistoryList({ projectId, promptName });
  done["prompt history"] = before.results.map((one) => one.type);

  const createWebhook = { url: "https://example.com/hooks?a=1" };
  done["webhook"] = (await webhooks.webhooksCreate({ projectId, createWebhook })).url;
  done["feed"] = (await events.eventsList({ projectId, after: 0 })).results.map((one) => [one.type, one.subject]);
  return done;
}
