"""What Git does for a reader: a clone of this project is this checkout, as it was last committed."""

from collections.abc import Mapping

from codex_langfuse.page_addresses import REPOSITORY
from harness.fences.scanner import ROOT

ADDRESS = f"https://github.com/{REPOSITORY}"

#: Environment: ``ROOT`` in place of the project's address, and a name to commit by.
GIT: Mapping[str, str] = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
    "GIT_CONFIG_VALUE_0": ADDRESS,
    "GIT_AUTHOR_NAME": "A Reader",
    "GIT_AUTHOR_EMAIL": "reader@example.com",
    "GIT_COMMITTER_NAME": "A Reader",
    "GIT_COMMITTER_EMAIL": "reader@example.com",
}
