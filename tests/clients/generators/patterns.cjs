// Compiles every pattern of an OpenAPI document as JSON Schema says, in unicode mode: `node patterns.cjs DOCUMENT`.
const { readFileSync } = require("node:fs");

let count = 0;
JSON.parse(readFileSync(process.argv[2], "utf8"), (key, value) => {
  if (key === "pattern" && typeof value === "string") {
    new RegExp(value, "u");
    count += 1;
  }
  return value;
});
console.log(count);
