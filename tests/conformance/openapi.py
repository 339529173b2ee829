"""The HTTP interface against its own OpenAPI document, by schemathesis: it makes valid and invalid
requests from the document that the server serves, follows answers from one request to the next, and
compares every answer with what the document says.

usage: openapi.py PROGRAM [SEED [EXAMPLES [SECONDS]]]

Without SECONDS every route gets its EXAMPLES, however long that takes: the same seed is the same run on
a fast and on a slow machine. With it, it ends after about so long.
"""

import http.client
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from server import PATIENCE, Server

HERE = Path(__file__).resolve().parent


# An app of opaque ids takes any text that the document allows as an id. Apps of numeric ids take digits:
# for them only requests that are valid by that narrower rule are made, because the document, which
# speaks of both, allows more.
RUNS = [("opaque", "all", 0.7), ("numeric", "positive", 0.3)]

# Routes that have to be tested, so that a document that lost its routes is not a success.
ROUTES_MIN = 28

# How long a run may take that has no time of its own, on a machine that does much else.
PATIENCE_SECONDS = 900


def run(program, ids, mode, seed, examples, seconds):
    """One run of schemathesis; requests made, and failures."""
    with Server(program, config=f'[apps.default]\nids = "{ids}"\n') as server:
        host, port = server.address("http")
        key = server.app_key()
        join(host, port, key)
        environment = dict(
            os.environ,
            PYTHONPATH=str(HERE),
            KIDOKU_KEY=key,
            KIDOKU_TOKEN=server.token("ada"),
            KIDOKU_IDS=ids,
        )
        words = [Path(sys.executable).parent / "schemathesis"]
        words += ["--config-file", HERE / "schemathesis.toml", "run", "--no-color", "--mode", mode]
        words += ["--seed", seed, "--max-examples", examples]
        if seconds:
            words += ["--max-time", str(max(10, int(seconds)))]
        if ids == "opaque":
            # "Up to this message in all channels" needs ids that have an order over all channels.
            words += ["--exclude-path", "/v1/users/{user}/ack/all"]
        words += ["--output-truncate", "false", f"http://{host}:{port}/openapi.json"]
        ended = subprocess.run(
            words,
            cwd=server.folder.name,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        print(ended.stdout + ended.stderr)
        server.must_live()
    cases = re.search(r"(\d+) generated", ended.stdout)
    routes = re.search(r"Selected: (\d+)/\d+\s+Tested: (\d+)", ended.stdout)
    assert cases and routes, "schemathesis has not said what it did"
    selected, tested = map(int, routes.groups())
    assert seconds or tested == selected >= ROUTES_MIN, f"{tested} of {selected} routes were tested"
    failed = re.search(r"found (\d+) unique failure", ended.stdout)
    failed = int(failed.group(1)) if failed else 0
    assert (ended.returncode == 0) == (failed == 0), f"schemathesis ended with {ended.returncode}"
    return int(cases.group(1)), failed


def join(host, port, key):
    """Lets the device's user into the channel to which `openapi_hooks.py` sends its requests."""
    link = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    body = json.dumps({"users": ["ada"]})
    link.request("POST", "/v1/channels/room/members", body, headers)
    answer = link.getresponse()
    assert answer.status == 200, answer.read()


def main(program, seed="1", examples="15", seconds="0"):
    """All runs."""
    requests, failures = 0, 0
    for ids, mode, share in RUNS:
        made, failed = run(program, ids, mode, seed, examples, int(seconds) * share)
        requests, failures = requests + made, failures + failed
    print(f"openapi: seed {seed}: {requests} requests, {failures} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
