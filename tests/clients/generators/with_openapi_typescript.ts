// A round trip by openapi-fetch, with the types of openapi-typescript.
import createClient from "openapi-fetch";
import type { paths } from "./skald-client";

type Job = { host: string; key: string; project: string; archive: string };

function data<D>(answer: { data?: D; error?: unknown }): D {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

export async function run(job: Job, archive: Blob): Promise<Record<string, unknown>> {
  const api = createClient<paths>({ baseUrl: job.host, headers: { Authorization: `Bearer ${job.key}` } });
  const project = { project_id: job.project };
  const skill = { ...project, skill_name: "pdf-forms" }, prompt = { ...project, prompt_name: "support-agent" };
  const done: Record<string, unknown> = {};

  const created = data(await api.POST("/api/environments/{project_id}/llm_skills", { params: { path: project }, body: {
    name: "pdf-forms", description: "Fill in forms.", body: "# PDF\n\nFill it in.\n", allowed_tools: ["Bash(git log:*)"],
    metadata: { team: "docs", deep: { n: [1, 2] } }, files: [{ path: "scripts/fill.py", content: "print('filled')\n" }],
  } }));
  done["created"] = [created.name, created.version, created.metadata];
  const byName = "/api/environments/{project_id}/llm_skills/name/{skill_name}" as const;
  const got = data(await api.GET(byName, { params: { path: skill } }));
  done["got"] = [got.body, got.allowed_tools, got.files.map((file) => file.path)];
  const change = { base_version: 1, edits: [{ old: "Fill it in.", new: "Complete it." }] };
  done["patched"] = data(await api.PATCH(byName, { params: { path: skill }, body: change })).version;
  const page = data(await api.GET("/api/environments/{project_id}/llm_skills", {
    params: { path: project, query: { search: "pdf", limit: 10 } },
  }));
  done["listed"] = page.results.map((one) => one.name);
  const resolved = data(await api.GET("/api/environments/{project_id}/llm_skills/resolve/name/{skill_name}", {
    params: { path: skill },
  }));
  done["resolved"] = [resolved.skill.body, resolved.versions.map((one) => one.version)];
  done["added"] = data(await api.POST("/api/environments/{project_id}/llm_skills/name/{skill_name}/files", {
    params: { path: skill }, body: { path: "assets/dot.bin", content: "AP8=", encoding: "base64", base_version: 2 },
  })).version;
  const kept = data(await api.GET("/api/environments/{project_id}/llm_skills/name/{skill_name}/files/{file_path}", {
    params: { path: { ...skill, file_path: "assets/dot.bin" } },
  }));
  done["file"] = [kept.content, kept.encoding];
  const imported = data(await api.POST("/api/environments/{project_id}/llm_skills/import", {
    params: { path: project, query: { mode: "upsert" } },
    // Files are text in its types; a form with the file is what is sent.
    body: { file: "" },
    bodySerializer: () => { const form = new FormData(); form.append("file", archive); return form; },
  }));
  done["imported"] = [imported.outcome, imported.name, imported.version];
  const past = data(await api.GET("/api/environments/{project_id}/llm_skills/name/{skill_name}/history", {
    params: { path: skill },
  }));
  done["history"] = past.results.map((one) => [one.type, one.version_after]);

  const made = data(await api.POST("/api/environments/{project_id}/llm_prompts", {
    params: { path: project }, body: { name: "support-agent", prompt: "You help.", config: { temperature: 0.5 } },
  }));
  done["prompt created"] = [made.name, made.version, made.config];
  const promptByName = "/api/environments/{project_id}/llm_prompts/name/{prompt_name}" as const;
  const text = { base_version: 1, edits: [{ old: "help", new: "assist" }] };
  done["prompt patched"] = data(await api.PATCH(promptByName, { params: { path: prompt }, body: text })).version;
  const label = data(await api.PUT(
    "/api/environments/{project_id}/llm_prompts/name/{prompt_name}/labels/{label_name}",
    { params: { path: { ...prompt, label_name: "production" } }, body: { version: 2 } },
  )).name;
  done["prompt got"] = data(await api.GET(promptByName, { params: { path: prompt, query: { label } } })).prompt;
  const listed = data(await api.GET("/api/environments/{project_id}/llm_prompts", {
    params: { path: project, query: { content: "preview" } },
  }));
  done["prompts listed"] = listed.results.map((one) => [one.name, one.prompt_preview]);
  const found = data(await api.GET("/api/environments/{project_id}/llm_prompts/resolve/name/{prompt_name}", {
    params: { path: prompt },
  }));
  done["prompt resolved"] = [found.prompt.prompt, found.versions.map((one) => one.version), found.labels[0]?.name];
  const before = data(await api.GET("/api/environments/{project_id}/llm_prompts/name/{prompt_name}/history", {
    params: { path: prompt },
  }));
  done["prompt history"] = before.results.map((one) => one.type);

  done["webhook"] = data(await api.POST("/api/environments/{project_id}/webhooks", {
    params: { path: project }, body: { url: "https://example.com/hooks?a=1" },
  })).url;
  const feed = data(await api.GET("/api/environments/{project_id}/events", {
    params: { path: project, query: { after: 0 } },
  }));
  done["feed"] = feed.results.map((one) => [one.type, one.subject]);
  return done;
}
