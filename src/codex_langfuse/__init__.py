"""The command ``codex-langfuse``, and what it does to get OpenAI's Codex CLI observed in Langfuse.

In come Codex's configuration and its telemetry over OTLP; out go observations to Langfuse, or to the mock.
``cli`` starts a module of ``commands``, which leaves the work to the room of its name. What several rooms
need is in the files beside them. Data flows one way, and rooms import each other in no circle.
"""

import sys

# Where Click is installed, httpx imports a command line of its own, with Pygments: a fifth of our start.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # Python's way to say: not there
