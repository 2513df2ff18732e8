"""What Codex's model calls cost, by model. Needs langfuse_client.py beside it."""

import argparse
import json

from langfuse_client import call, period, run


def main() -> None:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=30, help="how far back (default: 30)")
    parser.add_argument("--environment", help="only this environment")
    options = parser.parse_args()

    since, until = period(options.days)
    filters = [{"column": "type", "type": "string", "operator": "=", "value": "GENERATION"}]
    if options.environment:
        wanted = {"type": "string", "operator": "=", "value": options.environment}
        filters.append({"column": "environment", **wanted})
    query = {
        "view": "observations",
        "dimensions": [{"field": "providedModelName"}],
        "metrics": [
            {"measure": "count", "aggregation": "count"},
            {"measure": "totalTokens", "aggregation": "sum"},
            {"measure": "totalCost", "aggregation": "sum"},
        ],
        "filters": filters,
        "orderBy": [{"field": "sum_totalCost", "direction": "desc"}],
        "fromTimestamp": since,
        "toTimestamp": until,
    }
    lines = call("GET", "v2/metrics", query=json.dumps(query))["data"]

    print(f"{'model':<20} {'calls':>6} {'tokens':>10} {'US dollars':>11}")
    for line in lines:
        model = line["providedModelName"] or "(none)"
        calls, tokens = int(line["count_count"]), int(line["sum_totalTokens"])
        cost = float(line["sum_totalCost"] or 0)
        note = "  no price when it arrived" if tokens and not cost else ""
        print(f"{model:<20} {calls:>6} {tokens:>10} {cost:>11.6f}{note}")


if __name__ == "__main__":
    run(main)
