// Runs the scenario with ioredis: commands in on stdin as JSON, replies out as JSON lines.
// usage: node ioredis.mjs PORT PROTOCOL, in the folder where the client is installed
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { print } from "./plain.mjs";

const require = createRequire(process.cwd() + "/");
const { Redis } = require("ioredis");

const [port, protocol] = process.argv.slice(2).map(Number);
const client = new Redis({ port, protocol, lazyConnect: true });
await client.connect();
const commands = JSON.parse(readFileSync(0, "utf8"));
for (const [name, ...words] of commands) {
  print(await client.call(name, ...words).catch((error) => error));
}
const pipeline = client.pipeline();
for (const [name, ...words] of commands) {
  pipeline.call(name, ...words);
}
for (const [error, reply] of await pipeline.exec()) {
  print(error ?? reply);
}
await client.quit();
