"""h2spec, the conformance suite of HTTP/2, against a port, and the list of what may fail there. It can
give no key, so the server has to be open to everyone (`--dev`).
"""

import subprocess
import tempfile
import xml.etree.ElementTree
from pathlib import Path

from server import PATIENCE

# What is in the server, so that the route has something to answer: the flow of an empty answer can not
# be controlled.
EVENTS = "".join(f'{{"op":"join","channel":"room{at}","user":"ada"}}\n' for at in range(9))

KNOWN = Path(__file__).with_name("h2spec_failures.txt")

# Of all that h2spec tries, at least this many have to hold.
CASES = 145
HOLD = 143

# A route that reads a whole body before it answers. One that answers at once may do so before a fault in
# what follows is there to be seen, which is right, and which h2spec takes for a failure.
PATH = "/v1/events"

# Some cases send a request, end its stream at once and break a rule on it. The answer may be on its way
# already, which is right, and h2spec then sees it where it expects the complaint. So a case has failed
# when it fails in each of so many runs; a server that does not complain at all does that.
TRIES = 5

# Seconds h2spec waits for an answer, on a machine that does much else.
ANSWER_SECONDS = 5


def run(program, address, *options):
    """Runs it; the number of cases, and those that failed as `section/number`."""
    host, port = address
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "junit.xml"
        words = [program, "-h", host, "-p", str(port), "-P", PATH]
        words += ["-o", str(ANSWER_SECONDS), "-j", str(path), *options]
        # It ends with 1 when a case fails; which ones do is judged by the list.
        subprocess.run(words, stdout=subprocess.DEVNULL, timeout=PATIENCE * 5)
        suites = xml.etree.ElementTree.parse(path).getroot()
    cases, failed = 0, set()
    for suite in suites.iter("testsuite"):
        for number, case in enumerate(suite.iter("testcase"), 1):
            cases += 1
            if case.find("failure") is not None or case.find("error") is not None:
                failed.add(f"{case.get('package')}/{number}")
    return cases, failed


def must_find_only_what_is_known(program, address, *options):
    """The cases that fail are those of the list, no more and no fewer."""
    cases, failed = run(program, address, *options)
    lines = KNOWN.read_text().splitlines()
    known = {line.split()[0] for line in lines if line and not line.startswith("#")}
    assert cases == CASES, f"{cases} cases ran, {CASES} were due"
    for _ in range(TRIES - 1):
        if failed <= known:
            break
        failed &= run(program, address, *options)[1]
    print(f"          h2spec: {cases - len(failed)} of {cases} hold; failed: {sorted(failed)}")
    assert not failed - known, f"new: {sorted(failed - known)}"
    assert not known - failed, f"these hold now, take them off the list: {sorted(known - failed)}"
    assert cases - len(failed) >= HOLD
