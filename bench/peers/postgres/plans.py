"""Are the plans what schema.sql was made for? `cd bench && python3 -m peers.postgres.plans`

Makes a cluster of its own, fills it (a million read states, a channel of 100,000 members, a user in 200
channels), and looks at the generic plan of every statement: reading touches indexes alone, nothing sorts
and nothing scans a table. Prints how long each took; ends with 1 when a plan is another one.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

from peers.check.servers import PEERS, free_port

FILL = """
INSERT INTO message SELECT c, m, m % 50 + 1 FROM generate_series(1, 2000) c, generate_series(1, 200) m;
INSERT INTO read_state SELECT u, (u * 37 + k) % 2000 + 1, (u * 7 + k * 13) % 200
  FROM generate_series(1, 10000) u, generate_series(0, 99) k;
INSERT INTO read_state SELECT 20001, k, 150 FROM generate_series(1, 200) k;
INSERT INTO read_state SELECT u, 5000, u % 1000 FROM generate_series(100001, 200000) u;
INSERT INTO message SELECT 5000, m, 100001 FROM generate_series(1, 1000) m;
INSERT INTO mention SELECT user_id, channel_id, 190 FROM read_state WHERE (user_id + channel_id) % 20 = 0;
VACUUM ANALYZE;
"""

# Statements that read, and must not touch a table; then those that write.
READS = ["state(20001)", "count_one(20001, 5)", "badge(20001)", "seen(5000, 10)"]
WRITES = ["join_channel(20001, 300, 0)", "ack(20001, 5, 160)", "mark_unread(20001, 5, 100)",
          "post(5, 201, 3)", "post_naming(5, 202, 3, '{4,5,5}')", "edit(5, 202, '{4,7}')",
          "delete_messages(5, '{202,201}')"]


def explained(psql, call):
    script = (f"\\i {PEERS}/postgres/statements.sql\nEXECUTE {call};\nBEGIN;\n"
              f"EXPLAIN (ANALYZE, COSTS off, TIMING off) EXECUTE {call};\nROLLBACK;\n")
    # Once before, so that the session has its caches; the plan is of the second time.
    return subprocess.run([*psql, "-f", "-"], input=script, text=True, check=True,
                          stdout=subprocess.PIPE).stdout


def faults(plan, reads):
    found = [word for word in ("Seq Scan", "Sort", "Parallel") if word in plan]
    if reads:
        if not 0 < plan.count("Index Only Scan") == plan.count(" Scan"):
            found.append("a scan that is not index-only")
        found += re.findall(r"Heap Fetches: [1-9]\d*", plan)
    return found


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    script, port, wrong = str(PEERS / "postgres/cluster.sh"), str(free_port()), []
    with tempfile.TemporaryDirectory() as made:
        pathlib.Path(made).chmod(0o755)
        subprocess.run([script, "make", made, port], check=True)
        try:
            psql = ["psql", "-h", f"{made}/socket", "-p", port, "-U", "postgres", "-qAtX",
                    "-v", "ON_ERROR_STOP=1", "peers"]
            subprocess.run([*psql, "-f", "-"], input=FILL, text=True, check=True)
            for call in READS + WRITES:
                plan = explained(psql, call)
                took = re.search(r"Execution Time: (\S+) ms", plan)[1]
                found = faults(plan, call in READS)
                print(f"{call:35} {took:>9} ms  {', '.join(found) or 'as it should be'}")
                if found:
                    wrong.append(plan)
        finally:
            subprocess.run([script, "remove", made], check=True)
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
