"""Writes what the server is made of as CycloneDX 1.6: every package that is compiled into the program
or run to build it, with version, licence, origin and checksum. The same Cargo.lock gives the same
bytes: no time stamp, and a serial number that is computed from the content.

usage: sbom.py FILE        needs nothing but Python and cargo
"""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = "kidoku"
SERVER_TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]


def cargo(*words):
    """What a cargo command prints."""
    command = ["cargo", *words, "--locked"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def packages():
    """What cargo knows of every package, by name and version."""
    known = json.loads(cargo("metadata", "--format-version", "1"))["packages"]
    return {(package["name"], package["version"]): package for package in known}


def checksums():
    """The checksum of each package's archive, as the lock file has it."""
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return {
        (package["name"], package["version"]): package.get("checksum")
        for package in lock["package"]
    }


def needed():
    """The packages that the program needs, each with those that it needs itself. From the tree of the
    program alone: what tests or another crate of the workspace switch on is not in it.
    """
    words = ["tree", "--package", PROGRAM, "--edges", "normal,build", "--prefix", "depth"]
    for target in SERVER_TARGETS:
        words += ["--target", target]
    needs = {}
    above = []
    for line in filter(None, cargo(*words).splitlines()):
        depth, name, version = re.match(r"(\d+)(\S+) v(\S+)", line).groups()
        package = (name, version)
        needs.setdefault(package, set())
        above[int(depth) :] = [package]
        if len(above) > 1:
            needs[above[-2]].add(package)
    return needs


def purl(package):
    """The package URL: where the package is, in one word."""
    name = f"pkg:cargo/{package['name']}@{package['version']}"
    return name if package["source"] else f"{name}?vcs_url=workspace"


def component(package, checksum):
    """A package as the standard writes it."""
    kind = "application" if package["name"] == PROGRAM else "library"
    made = {
        "type": kind,
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
        "scope": "required",
        # Older packages write "MIT/Apache-2.0" for "either".
        "licenses": [{"expression": package["license"].replace("/", " OR ")}],
    }
    if package["description"]:
        made["description"] = " ".join(package["description"].split())
    if checksum:
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return made


def document():
    """The whole bill of materials."""
    known = packages()
    needs = needed()
    root = next(package for package in needs if package[0] == PROGRAM)
    sums = checksums()

    def of(package):
        return component(known[package], sums[package])

    others = sorted((of(key) for key in needs if key != root), key=lambda one: one["purl"])
    edges = [
        {"ref": purl(known[package]), "dependsOn": sorted(purl(known[need]) for need in needs[package])}
        for package in needs
    ]
    made = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": of(root)},
        "components": others,
        "dependencies": sorted(edges, key=lambda edge: edge["ref"]),
    }
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    made["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"
    return made


def text():
    """The document as it is written."""
    return json.dumps(document(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    Path(sys.argv[1]).write_text(text())
