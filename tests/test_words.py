"""English pages, messages and comments use plain words; what was there before becomes less."""

from collections import Counter

import words

COMMAND = ".venv/bin/python scripts/site/words.py"


def test_no_word_is_added() -> None:
    added = words.added()
    assert not added, "\n".join(["Use other words (scripts/site/words.toml):", *added])


def test_what_is_gone_is_off_the_list() -> None:
    gone = words.left() - Counter(place for place, _ in words.found())
    assert not gone, f"There are fewer than listed. Run: {COMMAND}\n{dict(gone)}"
