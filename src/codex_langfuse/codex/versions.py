"""What each version of Codex understands of ``[otel]``, and how it behaves.

Measured with the released binaries, of which 52 from 0.40.0 to 0.171.0 were run; a number here is the first
release with the behaviour whose neighbour before it was found without, unless a comment says otherwise.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codex_langfuse.codex.binary import CodexNotFoundError, codex_version, find_codex

_NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, order=True)
class Version:
    """A version of Codex, compared by its numbers; what follows them (``-alpha.1``) does not count."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Read ``0.163.0`` or ``0.163``; raises ``ValueError`` for anything else."""
        match = _NUMBERS.match(text.strip().removeprefix("v"))
        if match is None:
            raise ValueError(f"{text!r} is not a version of Codex, such as 0.163.0")
        return cls(int(match[1]), int(match[2]), int(match[3] or 0))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def _v(minor: int) -> Version:
    return Version(0, minor)


#: ``[otel]`` itself, with ``exporter``, ``environment`` and ``log_user_prompt``.
FIRST_WITH_OTEL = _v(44)

#: From which version on each key of ``[otel]`` is understood. An older one ignores it.
OTEL_KEYS: Mapping[str, Version] = {
    "environment": _v(44),
    "exporter": _v(44),
    "log_user_prompt": _v(44),
    "trace_exporter": _v(73),
    "metrics_exporter": _v(99),
    "span_attributes": _v(130),
    "tracestate": _v(130),
    "tool_result": _v(150),
    "log_agent_responses": _v(158),
    "log_guardian_assessments": _v(158),
    "log_sse_deltas": _v(169),
    "headers_helper": _v(171),
    "headers_helper_refresh_interval_ms": _v(171),
}

#: The keys that change only log records, and so nothing that Langfuse gets directly.
LOG_KEYS = (
    "log_user_prompt",
    "log_agent_responses",
    "log_guardian_assessments",
    "log_sse_deltas",
    "tool_result",
)

#: Spans hold prompts, commands, their output and answers, whatever ``log_user_prompt`` says: [from, to).
LEAKS_CONTENT = (_v(73), _v(113))

#: The first with a metrics exporter: metrics go to OpenAI unless it is ``"none"``.
METRICS_BY_DEFAULT = _v(99)

#: ``analytics.enabled = false`` no longer switches off metrics to somebody else. 0.161 did.
METRICS_WITHOUT_ANALYTICS = _v(163)

#: A shell snapshot gives commands the variables that ``shell_environment_policy`` hides: [from, to).
#: Measured on 0.114 to 0.156; 0.157 is untested and taken for like 0.156.
SNAPSHOT_UNDOES_POLICY = (_v(114), _v(158))

#: A client certificate works. Between 0.150 (all telemetry off) and 0.159, which was measured.
MUTUAL_TLS = _v(159)

#: ``OTEL_EXPORTER_OTLP_COMPRESSION`` switches all telemetry off. Between 0.74 (ignored) and 0.98.
COMPRESSION_FATAL = _v(89)

#: ``[otel] headers_helper``: a command that prints the headers. Between 0.169 (ignored) and 0.171.
HEADERS_HELPER = _v(171)

#: ``[otel]`` in requirements.toml is enforced; 0.165 ignores it.
REQUIREMENTS_ENFORCED = _v(166)


def leaks_content(version: Version) -> bool:
    """Return whether this version's spans hold prompts, commands and answers."""
    return LEAKS_CONTENT[0] <= version < LEAKS_CONTENT[1]


def snapshot_undoes_policy(version: Version) -> bool:
    """Return whether commands see excluded variables in spite of ``shell_environment_policy``."""
    return SNAPSHOT_UNDOES_POLICY[0] <= version < SNAPSHOT_UNDOES_POLICY[1]


def installed_codex() -> Path:
    """Return the Codex that a person starts: the one on PATH, whichever the tests of this project have.

    Raises ``CodexNotFoundError``.
    """
    on_path = shutil.which("codex")
    return Path(on_path) if on_path else find_codex()


def installed_version() -> Version | None:
    """Ask the installed Codex for its version; None when there is none, or it does not answer like Codex."""
    try:
        return Version.parse(codex_version(installed_codex()))
    except (CodexNotFoundError, ValueError, OSError, subprocess.SubprocessError):
        return None
