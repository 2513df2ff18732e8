"""Is a session of Codex in Langfuse? One question, asked until it is shown."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from codex_langfuse.keys.credentials import Access
from codex_langfuse.page_addresses import page_url
from codex_langfuse.verify.connection import SECONDS_TO_ANSWER, LangfuseConnection
from codex_langfuse.verify.layers import Layer, LayerError
from codex_langfuse.verify.reading import NeverShownError, Query, Reader, Step

#: The most roots that Langfuse 4 lists at once, and traces that the older endpoint does.
_MOST, _MOST_OLDER = 1000, 100


@dataclass(frozen=True)
class SessionShown:
    """A session that Langfuse shows.

    ``traces`` counts them, at most 1,000 (100 where Langfuse shows the older traces only). ``newest`` is when
    the last of them began (ISO 8601, UTC). ``seconds`` is how long it was waited for.
    """

    session_id: str
    project_id: str
    link: str
    traces: int
    newest: str
    seconds: float
    read_endpoint: str


def verify_session(
    access: Access, session_id: str, *, timeout: float, report: Callable[[Step, str], None]
) -> SessionShown:
    """Ask for the traces of a session, for at most ``timeout`` seconds, until there is one.

    Raises ``LayerError`` for the layer that failed: ``read`` when nothing is shown.
    """
    base_url = access.base_url.url
    query = Query(
        "the session",
        {"sessionId": session_id, "isRootObservation": "true", "limit": str(_MOST)},
        older_path="/api/public/traces",
        older_parameters={"sessionId": session_id, "limit": str(_MOST_OLDER)},
        older_rows="data",
    )
    with LangfuseConnection(
        base_url, access.authorization, seconds_to_answer=min(timeout, SECONDS_TO_ANSWER)
    ) as connection:
        project = connection.project_id()
        report(Step.KEYS_ACCEPTED, f"Langfuse at {base_url} accepts the keys (project {project}).")
        asked = time.monotonic()
        try:
            shown = Reader(connection, query).wait(timeout, report)
        except NeverShownError as never:
            raise LayerError(
                Layer.READ,
                f"Langfuse shows no trace of session {session_id} after {timeout:g} seconds",
                "With the relay: codex-langfuse relay --status says whether Langfuse accepted the turn.",
                "Without relay or Collector: Codex sends no session, so look for the trace by its time.",
                *never.trouble,
                page=page_url("guide/troubleshooting", "verify-session"),
            ) from never
    return SessionShown(
        session_id=session_id,
        project_id=project,
        link=f"{base_url}/project/{project}/sessions/{quote(session_id, safe='')}",
        traces=len(shown.rows),
        newest=max(str(row.get("startTime") or row.get("timestamp") or "") for row in shown.rows),
        seconds=round(time.monotonic() - asked, 1),
        read_endpoint=shown.endpoint,
    )
