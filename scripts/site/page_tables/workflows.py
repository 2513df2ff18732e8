"""The table of the GitHub workflows, from the files that define them."""

from pathlib import Path
from typing import Any

import yaml

from page_tables.markdown import table, words_of

_TEXTS = words_of(__file__)

_FOLDER = Path(__file__).resolve().parents[3] / ".github/workflows"

# `on`, which YAML 1.1 reads as true.
_ON = True
_EVENTS = _TEXTS["events"]


def workflows(language: str) -> str:
    """Return each workflow's file, when it runs, and its jobs with the systems and Pythons they run on.

    Raises:
        KeyError: a workflow runs on an event that has no words here yet.
    """
    head = _TEXTS["workflows_head"][language]
    comma = _TEXTS["comma"][language]
    rows = []
    for file in sorted(_FOLDER.glob("*.yml")):
        definition = yaml.safe_load(file.read_text(encoding="utf-8"))
        events = comma.join(_EVENTS[event][language] for event in definition[_ON])
        jobs = comma.join(_job(name, job, language) for name, job in definition["jobs"].items())
        rows.append([f"`{file.name}`", events, jobs])
    return table(head, rows)


def _job(name: str, job: dict[str, Any], language: str) -> str:
    matrix = job.get("strategy", {}).get("matrix", {})
    systems = [
        *matrix.get("os", [job["runs-on"]]),
        *(f"Python {version}" for version in matrix.get("python", [])),
    ]
    return f"`{name}` ({', '.join(systems)})" if language == "en" else f"`{name}`（{'、'.join(systems)}）"


TABLES = {"workflows": workflows}
