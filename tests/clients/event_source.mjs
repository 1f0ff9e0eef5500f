// Node's own EventSource follows a stream through a proxy that adds the key, and ends each connection behind the bytes that it is given.
//
// Standard input: {"url", "key", "until": [marks]}; a connection ends behind the first place where a message has its mark.
// Standard output: {"connections": [Last-Event-ID or null, ...], "messages": [every event that was dispatched]}.
import http from "node:http";
import { text } from "node:stream/consumers";

const { url, key, until, types } = JSON.parse(await text(process.stdin));
const connections = [];
const messages = [];

const proxy = http.createServer((request, response) => {
  const last = request.headers["last-event-id"] ?? null;
  connections.push(last);
  const mark = until[connections.length - 1];
  if (mark === undefined) {
    response.end();
    return finish();
  }
  const headers = { authorization: `Bearer ${key}`, accept: request.headers.accept };
  if (last !== null) headers["last-event-id"] = last;
  const upstream = http.get(url, { headers }, (answer) => {
    if (answer.statusCode !== 200) throw new Error(`${url}: ${answer.statusCode}`);
    response.writeHead(answer.statusCode, { "content-type": answer.headers["content-type"] });
    let seen = "";
    answer.on("data", (part) => {
      seen += part;
      response.write(part);
      if (seen.includes(mark) && seen.endsWith("\n\n")) {
        upstream.destroy();
        response.end();
      }
    });
  });
  upstream.on("error", () => {});
});

function finish() {
  source.close();
  console.log(JSON.stringify({ connections, messages }));
  process.exit(0);
}

await new Promise((ready) => proxy.listen(0, "127.0.0.1", ready));
const source = new EventSource(`http://127.0.0.1:${proxy.address().port}/`);
for (const type of ["message", "position", ...types]) {
  source.addEventListener(type, (event) => messages.push([event.type, event.lastEventId, event.data]));
}
