"""Runs the scenario with redis-py: commands in on stdin as JSON, replies out as JSON lines.

usage: redis_py.py PORT PROTOCOL
"""

import json
import sys

import redis


def plain(reply):
    """The reply as JSON; a map stays a map, an error becomes {"$error": text}."""
    if isinstance(reply, Exception):
        return {"$error": str(reply)}
    if isinstance(reply, bytes):
        return reply.decode()
    if isinstance(reply, dict):
        return {plain(key): plain(value) for key, value in reply.items()}
    if isinstance(reply, (list, tuple)):
        return [plain(item) for item in reply]
    return reply


def run(client, command):
    try:
        return client.execute_command(*command)
    except redis.ResponseError as error:
        # The client cuts the code word off the texts it knows; all of ours stay whole.
        return error


def main():
    port, protocol = int(sys.argv[1]), int(sys.argv[2])
    client = redis.Redis(port=port, protocol=protocol)
    commands = json.load(sys.stdin)
    for command in commands:
        print(json.dumps(plain(run(client, command))))
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    for reply in pipeline.execute(raise_on_error=False):
        print(json.dumps(plain(reply)))


main()
