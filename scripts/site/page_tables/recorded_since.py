"""Since which recorded version Codex sends something."""

from functools import cache

import recordings
from codex_langfuse.codex.versions import Version
from page_tables.markdown import words_of
from recorded_names import Name, names

_TEXTS = words_of(__file__)


@cache
def versions_with(name: Name) -> tuple[str, ...]:
    """Return the versions of which any recording has a name (see ``recorded_names``), oldest first."""
    found = {
        recording.rpartition("/")[2].partition("-")[0]
        for recording in recordings.with_real_use()
        if name in names(recording)
    }
    return tuple(sorted(found, key=Version.parse))


def since_recorded(name: Name, language: str) -> str:
    """Return since when a turn with a command has a name, over either transport.

    That is the first recorded version, and the last if it went. Of a name that only other turns have, the
    versions of those are named.
    """
    with_it = [
        codex
        for codex in recordings.simple_turns()
        if any(name in names(turn) for turn in recordings.turns_with_a_command(codex))
    ]
    if not with_it:
        comma, words = _TEXTS["since_recorded_words"][language]
        seen = versions_with(name)
        return words.format(comma.join(seen)) if seen else "–"
    first, last = with_it[0], with_it[-1]
    if last == list(recordings.simple_turns())[-1]:
        return first
    if first == last:
        return str(_TEXTS["only"][language].format(first))
    return str(_TEXTS["from_to"][language].format(first, last))
