"""Sum up what `codex-langfuse check --json` printed on many machines.

    python3 summary.py REPORTS [MACHINES]

REPORTS is a folder with a file for each machine, named after it: laptop-001.json. MACHINES is a file with the
name of every machine on a line of its own, so that those without a report are named too. Exit status: 0 when
every machine is clean, 1 with warnings, 2 when a machine has an error, or no report that can be read.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

SHOWN = 5  # machines named in a line
KEYS = ("codex", "status", "findings")
GRAVEST_FIRST = ("error", "warning", "info")


def names(machines: list[str]) -> str:
    """Return the first machines, and how many more there are."""
    more = len(machines) - SHOWN
    return ", ".join(machines[:SHOWN]) + (f" and {more} more" if more > 0 else "")


folder = Path(sys.argv[1])
expected = Path(sys.argv[2]).read_text(encoding="utf-8").split() if len(sys.argv) > 2 else []
reports, unreadable = {}, []
for file in sorted(folder.glob("*.json")):
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        reports[file.stem] = {key: report[key] for key in KEYS}
    except (ValueError, KeyError, TypeError, OSError):
        unreadable.append(file.stem)
silent = sorted(set(expected) - reports.keys() - set(unreadable))

statuses = Counter(report["status"] for report in reports.values())
clean, warned, wrong = (statuses[status] for status in (0, 1, 2))
print(f"{len(reports)} machines: {clean} clean, {warned} with warnings, {wrong} with errors")
for title, machines in (("unreadable", unreadable), ("no report", silent)):
    if machines:
        print(f"{len(machines)} {title}: {names(machines)}")
versions = Counter(report["codex"] or "not found" for report in reports.values())
for codex, count in versions.most_common():
    print(f"{count} with Codex {codex}")

found = defaultdict(list)
for machine, report in reports.items():
    for each in {(one["severity"], one["id"], one["page"]) for one in report["findings"]}:
        found[each].append(machine)
for wanted in GRAVEST_FIRST:
    for (severity, name, page), machines in found.items():
        if severity == wanted:
            print(f"{len(machines)} {severity} {name}: {names(machines)}\n  {page}")

sys.exit(2 if unreadable or silent else max(statuses, default=0))
