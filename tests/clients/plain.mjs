// A reply as JSON; a map stays a map, an error becomes {"$error": text}.
function plain(reply) {
  if (reply instanceof Error) return { $error: reply.message };
  if (Buffer.isBuffer(reply)) return reply.toString();
  if (Array.isArray(reply)) return reply.map(plain);
  if (reply instanceof Map) {
    return Object.fromEntries([...reply].map(([key, value]) => [plain(key), plain(value)]));
  }
  if (reply !== null && typeof reply === "object") {
    return Object.fromEntries(Object.entries(reply).map(([key, value]) => [key, plain(value)]));
  }
  return typeof reply === "bigint" ? reply.toString() : reply;
}

export function print(reply) {
  console.log(JSON.stringify(plain(reply)));
}
