"""What Langfuse takes for an environment, a user and a tag as it is meant.

Anything else it does not refuse: an environment of another form becomes ``default``, one comma makes two
tags (``packages/shared/src/server/otel`` of Langfuse 4.16.0).
"""

import re

_ENVIRONMENT = re.compile(r"(?!langfuse)[a-z0-9_-]{1,40}")
_LONGEST_USER = 200


def check_environment(name: str) -> None:
    """Raise ``ValueError`` for what would become another environment."""
    if not _ENVIRONMENT.fullmatch(name):
        raise ValueError(
            f"{name!r} is not an environment name in Langfuse: up to 40 of a-z 0-9 - _, not "
            'beginning with "langfuse"; it changes any other name'
        )


def check_user(name: str) -> None:
    """Raise ``ValueError`` for what is no name."""
    if not 0 < len(name.strip()) <= _LONGEST_USER:
        raise ValueError(f"a user is a name of 1 to {_LONGEST_USER} characters")


def check_tag(tag: str) -> None:
    """Raise ``ValueError`` for what would be no tag, or several."""
    if not tag.strip() or "," in tag:
        raise ValueError(f"{tag!r} is not a tag: it is empty, or has the comma that separates tags")


def nearest_environment(name: str) -> str:
    """Make of a name one that Langfuse takes for an environment."""
    plain = re.sub(r"[^a-z0-9_-]", "-", name.lower())
    return re.sub(r"^langfuse[-_]*", "", plain)[:40] or "prod"
