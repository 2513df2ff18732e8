"""What went wrong, in words that quote nobody.

The message of an API or the output of a command can hold a prompt, a path or a file. So failures are reported
as a number (HTTP status, exit code) and by a phrase of a short list.
"""

from __future__ import annotations

import re
from http import HTTPStatus

# Found in the messages of Codex 0.44 to 0.169 and of its model providers; the first that fits is taken.
_PHRASES = (
    ("context window", "context window exceeded"),
    ("context_length_exceeded", "context window exceeded"),
    ("insufficient_quota", "quota exceeded"),
    ("quota", "quota exceeded"),
    ("usage limit", "usage limit reached"),
    ("usage_limit", "usage limit reached"),
    ("rate limit", "rate limit reached"),
    ("rate_limit", "rate limit reached"),
    ("high demand", "overloaded"),
    ("overloaded", "overloaded"),
    ("content_policy", "refused by content policy"),
    ("invalid_prompt", "refused by content policy"),
    ("idle timeout", "idle timeout"),
    ("timed out", "timed out"),
    ("timeout", "timed out"),
    ("incomplete response", "incomplete response"),
    ("stream disconnected before completion", "stream disconnected before completion"),
    ("stream closed before", "stream closed before completion"),
    ("failed to parse", "answer not understood"),
    ("error sending request", "connection failed"),
    ("connection refused", "connection failed"),
    ("connection reset", "connection failed"),
    ("connection closed", "connection failed"),
    ("dns error", "connection failed"),
    ("unauthorized", "unauthorized"),
    ("invalid_api_key", "unauthorized"),
)
_RETRY_LIMIT = re.compile(r"exceeded retry limit, last status: ([1-5][0-9]{2})\b")
#: An error that the API sends over a WebSocket is JSON.
_STATUS = re.compile(r'"status"\s*:\s*([45][0-9]{2})\b')
_TOOL_PHRASES = (
    ("rejected by user", "rejected by the user"),
    ("approval policy is never", "needs an approval that the approval policy never asks for"),
    ("unsupported call", "no such tool"),
    ("unsupported custom tool call", "no such tool"),
    ("failed to parse function arguments", "arguments not understood"),
    ("timed out", "timed out"),
    ("timeout", "timed out"),
    ("sandbox", "denied by the sandbox"),
    ("aborted by user", "aborted by the user"),
)
# The lines Codex itself puts above what a command printed. Nothing below `Output:` is looked at: a command
# can print such a line, too.
_UNIFIED_EXEC = re.compile(r"(?:Chunk ID: .*\n)?(?:Wall time: .*\n)?Process exited with code (-?\d{1,10})\n")
_FREEFORM = re.compile(r"(?:Wall time: .*\nOutput:\n)?Exit code: (-?\d{1,10})\n(?:Wall time: |Total output )")
_JSON_START = '{"output":'
_JSON_END = re.compile(r'"metadata":\{"exit_code":(-?\d{1,10})[,}]')


def phrase_of(message: str) -> str | None:
    """Return the phrase for the failure of a model request; None if the message is not known."""
    given_up = _RETRY_LIMIT.match(message)
    if given_up:
        return f"exceeded retry limit, last status: {status_phrase(int(given_up[1]))}"
    answered = _STATUS.search(message) if message.startswith("{") else None
    return _first(message, _PHRASES) or (status_phrase(int(answered[1])) if answered else None)


def tool_phrase_of(output: str) -> str | None:
    """Return the phrase that says why a tool failed, as Codex reports it; None if it is not known."""
    return _first(output, _TOOL_PHRASES)


def _first(text: str, phrases: tuple[tuple[str, str], ...]) -> str | None:
    lowered = text[:4096].lower()
    return next((phrase for part, phrase in phrases if part in lowered), None)


def status_phrase(status: int) -> str:
    """Return `429 Too Many Requests` for 429; only the number if it has no name."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def exit_code(output: str) -> int | None:
    """Return the exit code that Codex reports in the output of a tool; None if it reports none.

    Three forms have been seen: JSON with `metadata` (0.44, `shell`), `Exit code: N` in the first line (0.73,
    `shell_command`, and `apply_patch` since), `Process exited with code N` under `Chunk ID` and `Wall time`
    (0.98 to 0.169, `exec_command`). Codex says `success = true` in all of them, whatever the number.
    """
    if output.startswith(_JSON_START):
        found = list(_JSON_END.finditer(output, max(0, len(output) - 200)))
        return int(found[-1][1]) if found else None
    match = _UNIFIED_EXEC.match(output) or _FREEFORM.match(output)
    return int(match[1]) if match else None
