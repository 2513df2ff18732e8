"""Write observations to a file, as JSON lines or CSV. Needs langfuse_client.py beside it."""

import argparse
import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from langfuse_client import observations, period, run

FIELDS = "core,basic,time,metadata,model,usage,metrics,trace_context"
COLUMNS = (
    *("startTime", "endTime", "sessionId", "userId", "environment", "traceId", "id"),
    *("type", "name", "level", "model", "totalUsage", "totalCost", "latency"),
)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="ends in .jsonl or .csv")
    parser.add_argument("--days", type=float, default=1, help="how far back (default: 1)")
    parser.add_argument("--with-content", action="store_true", help="input and output too")
    options = parser.parse_args()
    if options.file.suffix not in (".jsonl", ".csv"):
        parser.error(f"{options.file} ends neither in .jsonl nor in .csv")

    since, until = period(options.days)
    fields = f"{FIELDS},io" if options.with_content else FIELDS
    found = observations(fields=fields, fromStartTime=since, toStartTime=until)
    # Only you may read it; and it has its name once it is complete.
    unfinished = options.file.with_name(options.file.name + ".part")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
        write = write_csv if options.file.suffix == ".csv" else write_lines
        number = write(out, found)
    unfinished.replace(options.file)
    print(f"wrote {number} observations to {options.file}")


def write_lines(out: TextIO, found: Iterator[dict[str, Any]]) -> int:
    """Write each observation as a line of JSON, and return how many there were."""
    number = 0
    for observation in found:
        out.write(json.dumps(observation, ensure_ascii=False) + "\n")
        number += 1
    return number


def write_csv(out: TextIO, found: Iterator[dict[str, Any]]) -> int:
    """Write the columns of each observation, and return how many there were."""
    table = csv.DictWriter(out, COLUMNS, extrasaction="ignore")
    table.writeheader()
    number = 0
    for observation in found:
        table.writerow({name: harmless(observation.get(name)) for name in COLUMNS})
        number += 1
    return number


def harmless(value: Any) -> Any:
    """Keep a spreadsheet from taking a name or an id for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


if __name__ == "__main__":
    run(main)
