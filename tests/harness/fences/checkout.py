"""What a reader gets who clones this project: this checkout, as it was last committed."""

from collections.abc import Mapping

from harness.fences.scanner import ROOT

ADDRESS = "https://github.com/codex-langfuse/codex-langfuse"

#: For Git: take ``ROOT`` wherever the project's address stands.
CLONES_THIS: Mapping[str, str] = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
    "GIT_CONFIG_VALUE_0": ADDRESS,
}
