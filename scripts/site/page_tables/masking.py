"""The forms of secrets that are masked, from the list that masks them."""

from itertools import groupby

from codex_langfuse.masking import FORMS, KEYS, NAMES
from page_tables.markdown import table, words_of

_TEXTS = words_of(__file__)

_HEAD = _TEXTS["head"]
_GROUPS = _TEXTS["groups"]


def masked_forms(language: str) -> str:
    """Return every form by its kind, as it looks."""
    return table(
        _HEAD[language],
        (
            [
                _GROUPS[group][language],
                ", ".join(f"`{' '.join(looks.split())}`" for form in forms for looks in form.looks),
            ]
            for group, forms in groupby(FORMS, lambda form: form.group)
        ),
    )


def masked_names(language: str) -> str:
    """Return what the names of secrets contain."""
    between: str = _TEXTS["comma"][language]
    return between.join(f"`{name}`" for name in (*NAMES, *(f"{word} key" for word in KEYS))) + "\n"


TABLES = {"masked-forms": masked_forms, "masked-names": masked_names}
