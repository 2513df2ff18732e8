"""Score every turn by how many of its commands failed. Needs langfuse_client.py beside it.

A score has an id made of its trace's, so that the program can run again and again: it replaces
what it wrote before.
"""

import argparse
from collections import Counter

from langfuse_client import call, observations, period, run

NAME = "commands_failed"


def main() -> None:
    """Write a score for each turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=float, default=1, help="how far back (default: 1)")
    options = parser.parse_args()

    # The commands of a turn begin after it, so those of every turn found are found too.
    since, until = period(options.days)
    times = {"fromStartTime": since, "toStartTime": until}
    turns = list(observations(type="AGENT", isRootObservation="true", **times))
    failed = Counter(tool["traceId"] for tool in observations(type="TOOL", level="ERROR", **times))
    for turn in turns:
        score = {
            "id": f"{turn['traceId']}-{NAME}",
            "name": NAME,
            "value": failed[turn["traceId"]],
            "dataType": "NUMERIC",
            "traceId": turn["traceId"],
            "observationId": turn["id"],
            "environment": turn["environment"],
        }
        call("POST", "scores", score)
    with_failures = sum(1 for turn in turns if failed[turn["traceId"]])
    print(f"scored {len(turns)} turns; commands failed in {with_failures} of them")


if __name__ == "__main__":
    run(main)
