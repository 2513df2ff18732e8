"""All rules in order, then the question to the server."""

from collections.abc import Iterator
from dataclasses import dataclass

from codex_langfuse.check import (
    rules_of_environment,
    rules_of_exporters,
    rules_of_files,
    rules_of_keys,
    server,
)
from codex_langfuse.check.findings import Finding
from codex_langfuse.check.server import ServerReply
from codex_langfuse.check.setup import Setup

_RULES = (rules_of_files.find, rules_of_exporters.find, rules_of_keys.find, rules_of_environment.find)
_ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Checked:
    """The findings, the most serious first, and what servers answered.

    ``not_asked`` is true when servers were to be asked, and were not, as an error explains enough.
    """

    findings: tuple[Finding, ...]
    answers: tuple[ServerReply, ...] = ()
    not_asked: bool = False

    @property
    def status(self) -> int:
        """0 when nothing is wrong, 1 with warnings, 2 with errors."""
        severities = {finding.severity for finding in self.findings}
        return 2 if "error" in severities else 1 if "warning" in severities else 0


def check(setup: Setup, *, offline: bool = False, timeout: float = 10, run_helper: bool = False) -> Checked:
    """Look at ``setup``, and unless ``offline`` ask its servers; ``timeout`` in seconds for each answer."""
    findings = list(_found(setup))
    answers: tuple[ServerReply, ...] = ()
    hindered = any(finding.severity == "error" for finding in findings)
    if not offline and not hindered:
        answers = tuple(server.ask(setup, timeout=timeout, run_helper=run_helper))
        findings += [answer.finding for answer in answers if answer.finding]
    findings.sort(key=lambda finding: _ORDER[finding.severity])
    return Checked(tuple(findings), answers, not offline and hindered)


def _found(setup: Setup) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for rule in _RULES:
        for finding in rule(setup):
            # Two signals may share one mistake, such as a header in a variable for both.
            key = (finding.id, str(finding.place))
            if key not in seen:
                seen.add(key)
                yield finding
