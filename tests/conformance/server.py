"""A server of the test's own, on free ports and a data directory that goes with it."""

import http.client
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# How long anything may take on a machine that does much else.
PATIENCE = 60


class Server:
    """`kidoku serve` with real keys; ends with the block that opened it."""

    def __init__(self, program, *settings, config=None):
        self.program = str(program)
        self.settings = list(settings)
        self.config = config

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="kidoku-conformance-")
        self.data = Path(self.folder.name) / "data"
        self.data.mkdir(mode=0o700)
        self.said = Path(self.folder.name) / "serve.out"
        command = [self.program, "serve", "--data-dir", str(self.data), "--cores", "2"]
        for name in ["resp", "http", "admin", "cluster"]:
            command += [f"--{name}-listen", "127.0.0.1:0"]
        if self.config:
            path = Path(self.folder.name) / "kidoku.toml"
            path.write_text(self.config)
            command += ["--config", str(path)]
        with self.said.open("w") as out:
            self.process = subprocess.Popen(
                command + self.settings, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )
        self.addresses = self._wait()
        return self

    def _wait(self):
        path = self.data / "addresses.json"
        for _ in range(PATIENCE * 100):
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: {self.said.read_text()}")
            try:
                return json.loads(path.read_text())
            except (FileNotFoundError, json.JSONDecodeError):
                time.sleep(0.01)
        self.process.kill()
        raise RuntimeError(f"the server is not ready: {self.said.read_text()}")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def address(self, name):
        """Host and port of a listener."""
        host, port = self.addresses[name].rsplit(":", 1)
        return host, int(port)

    def root_key(self):
        """The key that the first start made."""
        return (self.data / "root.key").read_text().strip()

    def _ask(self, *words):
        command = [self.program, *words, "--data-dir", str(self.data)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def app_key(self, app="default"):
        """A key for one app, which the server knows: it follows the file of keys within a second."""
        key = self._ask("key", "create", "--app", app)
        for _ in range(PATIENCE * 20):
            link = http.client.HTTPConnection(*self.address("http"), timeout=PATIENCE)
            link.request("GET", "/v1/users/nobody/badge", headers={"authorization": f"Bearer {key}"})
            if link.getresponse().status == 200:
                return key
            time.sleep(0.05)
        raise RuntimeError("the server does not come to know its new key")

    def token(self, user):
        """A token of a device of this user."""
        return self._ask("token", "issue", "--user", user)

    def must_live(self):
        """A server that died under its test has failed it, whatever the answers were."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the server died: {self.said.read_text()}")


def report(name, cases):
    """Runs the cases, each a function whose name is its claim; ends the program."""
    failed = []
    for case in cases:
        claim = case.__name__.replace("_", " ")
        try:
            case()
            print(f"  ok      {claim}")
        except Exception as why:  # A case that can not go on has failed, whatever it met.
            print(f"  FAILED  {claim}: {type(why).__name__}: {why}")
            failed.append(claim)
    held = len(cases) - len(failed)
    print(f"{name}: {held} cases held, {len(failed)} cases failed")
    sys.exit(1 if failed else 0)
