"""The supply chain: licences, banned versions and sources by cargo-deny, and the bill of materials by
the standard's own schema. Each rule is also shown to bite: the same check with a rule that the tree
breaks has to fail.

usage: gate.py             run by `cargo xtask gates supply`, which installs what it needs
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import sbom

DENY = Path(sys.executable).parent / "cargo-deny"
ROOT = sbom.ROOT

# How long the advisory database may take to come.
ADVISORIES_SECONDS = 60


def deny(checks, rules, seconds=None):
    """Runs cargo-deny; what it said, and whether it was content."""
    command = [DENY, "--locked", "--config", rules, "check", *checks]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    return ended.stdout + ended.stderr, ended.returncode == 0


def must_bite(text, old, new, checks, word):
    """With `new` for `old` in the rules the check has to fail, and to say `word`."""
    assert text.count(old) == 1, f"deny.toml has no single {old!r}"
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "deny.toml"
        rules.write_text(text.replace(old, new))
        said, content = deny(checks, rules)
    assert not content and word in said, f"{new!r} was not noticed:\n{said}"


def check_rules():
    """The tree keeps the rules, and the rules notice what breaks them."""
    path = ROOT / "deny.toml"
    said, content = deny(["licenses", "bans", "sources"], path)
    print(said)
    assert content, "the tree breaks deny.toml"
    text = path.read_text()
    must_bite(text, '"MIT", ', "", ["licenses"], "not explicitly allowed")
    must_bite(text, '"<3.1.13"', '"<99"', ["bans"], "crate 'fjall")
    must_bite(text, "allow-registry = [", 'allow-registry = ["https://elsewhere.test/index"] # [', ["sources"], "source-not-allowed")


def check_advisories():
    """Known weaknesses, where their database can be reached."""
    try:
        said, content = deny(["advisories"], ROOT / "deny.toml", ADVISORIES_SECONDS)
    except subprocess.TimeoutExpired:
        said, content = "failed to fetch advisory database in time", False
    if "failed to fetch advisory database" in said:
        print("the advisory database can not be reached from here; the bans in deny.toml stand in for it")
        return "advisories not reachable"
    assert content, said
    return "advisories checked"


def check_bill():
    """The bill of materials is the same each time, valid, and holds all that it should."""
    text = sbom.text()
    assert text == sbom.text(), "two bills of the same tree differ"
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert fault is None, f"not CycloneDX 1.6: {fault}"
    document = sbom.json.loads(text)
    names = {part["name"] for part in document["components"]}
    manifest = tomllib.loads((ROOT / "crates/kidoku/Cargo.toml").read_text())
    missing = set(manifest["dependencies"]) - names
    assert not missing, f"not in the bill: {missing}"
    assert "proptest" not in names, "the bill holds what only tests need"
    bare = [part["name"] for part in document["components"] if not part["licenses"]]
    assert not bare, f"without a licence: {bare}"
    return len(names)


if __name__ == "__main__":
    check_rules()
    advisories = check_advisories()
    packages = check_bill()
    print(f"supply: {packages} packages in the bill of materials, 3 rules shown to bite, {advisories}")
