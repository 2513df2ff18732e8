"""Make a dataset of real turns: prompt and answer. Needs langfuse_client.py beside it.

An item has the id of its trace, so that the program can run again: it adds what is new.
"""

import argparse
import re

from langfuse_client import call, observations, period, run

WITHHELD = re.compile(r"\((no prompt|(prompt|answer) not sent[,;] .*)\)")


def main() -> None:
    """Put turns with a prompt into the dataset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="name of the dataset; it is made if it is not there")
    parser.add_argument("--days", type=float, default=7, help="how far back (default: 7)")
    parser.add_argument("--session", help="only this session")
    options = parser.parse_args()

    since, until = period(options.days)
    turns = list(
        observations(
            type="AGENT",
            isRootObservation="true",
            sessionId=options.session,
            fields="core,basic,io",
            fromStartTime=since,
            toStartTime=until,
        )
    )
    with_text = [turn for turn in turns if is_text(turn["input"])]
    if with_text:
        call("POST", "v2/datasets", {"name": options.dataset})
    for turn in with_text:
        item = {
            "id": turn["traceId"],
            "datasetName": options.dataset,
            "input": turn["input"],
            "expectedOutput": turn["output"] if is_text(turn["output"]) else None,
            "metadata": {"session": turn["sessionId"], "codex": turn["version"]},
            "sourceTraceId": turn["traceId"],
            "sourceObservationId": turn["id"],
        }
        call("POST", "dataset-items", item)
    withheld = len(turns) - len(with_text)
    print(f"{len(with_text)} turns are in the dataset; {withheld} without a prompt left out")


def is_text(value: str | None) -> bool:
    """Say whether this is what somebody wrote. In its place the relay sends a length in parentheses."""
    return bool(value) and not WITHHELD.fullmatch(value)


if __name__ == "__main__":
    run(main)
