// Preloaded into tools that must need no network: whatever they want beyond this machine is refused and written down.
const fs = require("node:fs");
const net = require("node:net");

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...given) {
  const options = Array.isArray(given[0]) ? given[0][0] : given[0];
  const host = (typeof options === "object" && options !== null ? options.host : given[1]) ?? "localhost";
  if (!["127.0.0.1", "::1", "localhost"].includes(host)) {
    fs.appendFileSync(process.env.LOOPBACK_REFUSED, `${host}\n`);
    throw new Error(`only this machine can be reached, not ${host}`);
  }
  return connect.apply(this, given);
};
