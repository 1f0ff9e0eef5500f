// Shows /schema/openapi.json and sends requests by it. All text goes in as text, never as markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
const $ = (id) => document.getElementById(id);
let api;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// `code` and **strong** of Markdown are all that the descriptions use.
function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (/^`.+`$/.test(part)) return make("code", { textContent: part.slice(1, -1) });
    if (/^\*\*.+\*\*$/.test(part)) return make("strong", { textContent: part.slice(2, -2) });
    return part;
  });
}

const prose = (text) => (text || "").split(/\n\s*\n/).filter(Boolean).map((block) => make("p", {}, ...inline(block)));

function resolve(schema) {
  const seen = new Set();
  while (schema && schema.$ref && !seen.has(schema.$ref)) {
    seen.add(schema.$ref);
    schema = schema.$ref.slice(2).split("/").reduce((at, key) => at[key], api);
  }
  return schema || {};
}

function typeOf(schema) {
  const name = schema.$ref && schema.$ref.split("/").pop();
  if (name) return name;
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items || {})}`;
  const type = [schema.type || "any"].flat().join(" or ");
  return schema.format ? `${type} (${schema.format})` : type;
}

function limits(schema) {
  const parts = [];
  if (schema.enum) parts.push(schema.enum.join(", "));
  if (schema.minimum !== undefined) parts.push(`from ${schema.minimum}`);
  if (schema.maximum !== undefined) parts.push(`to ${schema.maximum}`);
  if (schema.default !== undefined) parts.push(`default ${JSON.stringify(schema.default)}`);
  return parts.length ? ` · ${parts.join(" · ")}` : "";
}

// What is inside a schema: an object's fields, a list's items, the choices of a union.
function fields(schema, above = []) {
  const target = resolve(schema);
  if (above.includes(target)) return null;
  const path = [...above, target];
  if (target.anyOf) return target.anyOf.map((one) => fields(one, path)).find(Boolean) || null;
  if (target.items) return fields(target.items, path);
  if (!target.properties) return null;
  const rows = Object.entries(target.properties).map(([name, field]) => {
    const needed = (target.required || []).includes(name) ? " · required" : "";
    const text = field.description || "";
    const head = [make("code", { textContent: name }), " ",
      make("span", { className: "quiet", textContent: typeOf(field) + needed + limits(field) }),
      ...(text ? [" – ", ...inline(text)] : [])];
    const inner = fields(field, path);
    return make("li", {}, ...(inner ? [make("details", {}, make("summary", {}, ...head), inner)] : head));
  });
  return make("ul", { className: "fields" }, ...rows);
}

function examplesOf(content) {
  return Object.entries(content.examples || {}).map(([title, example]) => [title, example.value]);
}

const pretty = (value) => JSON.stringify(value, null, 2);

function parameterRow(parameter, inputs) {
  const input = make("input", { spellcheck: false, ariaLabel: parameter.name });
  if (parameter.name === "project_id") {
    input.value = $("project").value;
    $("project").addEventListener("input", () => { input.value = $("project").value; });
  } else if (parameter.required) {
    input.value = parameter.example ?? "";
  } else if (parameter.example !== undefined) {
    input.placeholder = parameter.example;
  }
  inputs.push([parameter, input]);
  const needed = parameter.required ? "required" : parameter.in;
  return make("tr", {},
    make("td", {}, make("code", { textContent: parameter.name }), make("br"),
      make("span", { className: "quiet", textContent: `${needed} · ${typeOf(parameter.schema)}${limits(parameter.schema)}` })),
    make("td", {}, ...inline(parameter.description || "")),
    make("td", {}, input));
}

function requestOf(path, method, inputs, body) {
  let address = api.servers[0].url.replace(/\/$/, "") + path;
  const query = new URLSearchParams();
  const headers = {};
  for (const [parameter, input] of inputs) {
    const value = input.value;
    if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(value).replaceAll("%40", "@"));
    else if (value && parameter.in === "query") query.set(parameter.name, value);
    else if (value) headers[parameter.name] = value;
  }
  if (body) headers["Content-Type"] = "application/json";
  const tail = query.toString();
  const request = { method: method.toUpperCase(), headers, credentials: "omit", cache: "no-store" };
  if (body) request.body = body.value;
  return [address + (tail ? `?${tail}` : ""), request];
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function curlLine(address, request, secured) {
  const words = ["curl", quoted(location.origin + address)];
  if (request.method !== "GET") words.splice(1, 0, "-X", request.method);
  // The key stays out of what is shown and copied.
  if (secured) words.push("-H", '"Authorization: Bearer $SKALD_KEY"');
  for (const [name, value] of Object.entries(request.headers)) words.push("-H", quoted(`${name}: ${value}`));
  if (request.body) words.push("-d", quoted(request.body));
  return words.join(" ");
}

async function send(address, request, secured, output) {
  output.replaceChildren(make("p", { className: "quiet", textContent: "Waiting…" }));
  const headers = { ...request.headers };
  const key = $("key").value.trim();
  if (secured && key) headers.Authorization = `Bearer ${key}`;
  const began = performance.now();
  try {
    const answer = await fetch(address, { ...request, headers });
    const text = await answer.text();
    const took = Math.round(performance.now() - began);
    let shown = text;
    if ((answer.headers.get("content-type") || "").includes("json") && text) {
      try { shown = pretty(JSON.parse(text)); } catch { /* shown as it came */ }
    }
    const lines = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    output.replaceChildren(
      make("p", {}, make("span", { className: "status", textContent: `${answer.status} ${answer.statusText}` }),
        make("span", { className: "quiet", textContent: ` · ${took} ms` })),
      ...(shown ? [make("pre", { textContent: shown })] : []),
      make("details", {}, make("summary", { textContent: "Headers" }), make("pre", { textContent: lines })));
  } catch (error) {
    output.replaceChildren(make("p", { textContent: `No answer: ${error.message}` }));
  }
}

function bodyEditor(content) {
  const area = make("textarea", { spellcheck: false, ariaLabel: "Request body" });
  const examples = examplesOf(content);
  area.value = examples.length ? pretty(examples[0][1]) : "{}";
  const parts = [];
  if (examples.length > 1) {
    const choice = make("select", { ariaLabel: "Example" }, ...examples.map(([title]) => make("option", { textContent: title })));
    choice.addEventListener("change", () => { area.value = pretty(examples[choice.selectedIndex][1]); });
    parts.push(make("p", {}, "Example: ", choice));
  }
  return [area, [...parts, area, fieldsBox(content.schema, "Fields of the body")]];
}

function fieldsBox(schema, title) {
  const inner = fields(schema);
  return inner && make("details", {}, make("summary", { textContent: title }), inner);
}

function responses(operation) {
  return Object.entries(operation.responses).map(([status, answer]) => {
    const [[, content] = []] = Object.entries(answer.content || {});
    const inner = content ? [fieldsBox(content.schema, "Fields"),
      ...examplesOf(content).map(([title, value]) =>
        make("details", {}, make("summary", { textContent: `Example: ${title}` }), make("pre", { textContent: pretty(value) })))] : [];
    const names = Object.keys(answer.headers || {});
    return make("tr", {}, make("td", {}, make("span", { className: "status", textContent: status })),
      make("td", {}, ...inline(answer.description), ...inner,
        names.length ? make("div", { className: "quiet", textContent: `Headers: ${names.join(", ")}` }) : null));
  });
}

function details(path, method, operation) {
  const inputs = [];
  const rows = (operation.parameters || []).map((parameter) => parameterRow(parameter, inputs));
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  const [body, editor] = content ? bodyEditor(content) : [null, []];
  const output = make("div", { ariaLive: "polite" });
  const secured = operation.security.length > 0;
  const button = make("button", { className: "send", type: "button", textContent: "Send" });
  const curl = make("button", { type: "button", textContent: "Show as curl" });
  button.addEventListener("click", () => send(...requestOf(path, method, inputs, body), secured, output));
  curl.addEventListener("click", () => {
    const [address, request] = requestOf(path, method, inputs, body);
    output.replaceChildren(make("pre", { textContent: curlLine(address, request, secured) }));
  });
  return make("div", {}, ...prose(operation.description),
    rows.length ? make("h3", { textContent: "Parameters" }) : null,
    rows.length ? make("table", {}, ...rows) : null,
    content ? make("h3", { textContent: "Body" }) : null, ...editor,
    make("p", {}, button, " ", curl), output,
    make("h3", { textContent: "Answers" }), make("table", {}, ...responses(operation)));
}

function operationBox(path, method, operation) {
  const box = make("details", { className: "operation", id: operation.operationId },
    make("summary", {}, make("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
      make("span", { className: "path", textContent: path }),
      make("span", { className: "summary", textContent: operation.summary })));
  box.dataset.words = `${method} ${path} ${operation.summary} ${operation.operationId}`.toLowerCase();
  // Filled when it is first opened: most never are.
  box.addEventListener("toggle", () => {
    if (box.open && box.children.length === 1) box.append(details(path, method, operation));
    if (box.open) history.replaceState(null, "", `#${operation.operationId}`);
  });
  return box;
}

function show() {
  const sections = api.tags.map((tag) => make("section", {}, make("h2", { textContent: tag.name }),
    make("p", { className: "quiet", textContent: tag.description })));
  const places = new Map(api.tags.map((tag, index) => [tag.name, sections[index]]));
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const method of METHODS) {
      const operation = methods[method];
      if (operation) places.get(operation.tags[0]).append(operationBox(path, method, operation));
    }
  }
  const about = make("details", {}, make("summary", { textContent: "About this API" }), ...prose(api.info.description));
  about.open = !location.hash;
  $("content").replaceChildren(about, ...sections);
  openNamed();
}

function openNamed() {
  const box = location.hash && document.getElementById(location.hash.slice(1));
  if (box) {
    box.open = true;
    box.scrollIntoView();
  }
}

function filter() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const box of document.querySelectorAll("details.operation")) {
    box.hidden = !words.every((word) => box.dataset.words.includes(word));
  }
}

async function start() {
  $("access").addEventListener("submit", (event) => event.preventDefault());
  $("filter").addEventListener("input", filter);
  // For this tab only, and gone with it.
  $("key").value = sessionStorage.getItem("skald-key") || "";
  $("key").addEventListener("input", () => sessionStorage.setItem("skald-key", $("key").value));
  window.addEventListener("hashchange", openNamed);
  try {
    const answer = await fetch($("document").href);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    api = await answer.json();
    show();
  } catch (error) {
    $("status").textContent = `The API description could not be loaded: ${error.message}`;
  }
}

start();
