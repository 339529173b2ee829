// Runs the scenario with node-redis: commands in on stdin as JSON, replies out as JSON lines.
// usage: node node_redis.mjs PORT PROTOCOL, in the folder where the client is installed
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { print } from "./plain.mjs";

const require = createRequire(process.cwd() + "/");
const { createClient } = require("redis");

const [port, RESP] = process.argv.slice(2).map(Number);
const client = createClient({ socket: { host: "127.0.0.1", port }, RESP });
client.on("error", (error) => {
  throw error;
});
await client.connect();
const commands = JSON.parse(readFileSync(0, "utf8"));
for (const command of commands) {
  print(await client.sendCommand(command).catch((error) => error));
}
// Sent without waiting in between: this client pipelines what is asked in one turn.
const replies = commands.map((command) => client.sendCommand(command).catch((error) => error));
for (const reply of await Promise.all(replies)) {
  print(reply);
}
await client.close();
