"""English pages, messages, comments and names use plain words."""

import words


def test_words_to_avoid_are_nowhere() -> None:
    found = list(words.found())
    assert not found, "\n".join(["Use other words (scripts/site/words.toml):", *found])
