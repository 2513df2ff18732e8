"""Langfuse's API for dashboards, which it calls unstable: ``/api/public/unstable/``.

Every answer that is not the wanted one becomes a ``DashboardError`` of one line that says what to do.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

from codex_langfuse.dashboard.definition import RUN_WITH
from codex_langfuse.verify.connection import LangfuseConnection, json_of, retry_after, retrying_once

WIDGETS = "/api/public/unstable/dashboard-widgets"
DASHBOARDS = "/api/public/unstable/dashboards"
_MOST_A_PAGE = 100

Record = dict[str, Any]


class DashboardError(Exception):
    """Langfuse does not do what is asked; the message, one line, says why and what to do."""


class WidgetInUseError(DashboardError):
    """A widget that another dashboard shows cannot be deleted."""


class DashboardApi:
    """The widgets and dashboards of the project that a connection's keys belong to.

    Every method raises ``DashboardError``, or ``LayerError`` when there is no answer.
    """

    def __init__(self, connection: LangfuseConnection):
        self._connection = connection

    def all(self, path: str) -> Iterator[Record]:
        """Return every widget or dashboard, page by page."""
        page, pages = 1, 1
        while page <= pages:
            found = self._ask("GET", f"{path}?limit={_MOST_A_PAGE}&page={page}")
            match found:
                case {"data": list(data), "meta": {"totalPages": int(pages)}}:
                    yield from data
                case _:
                    raise self._not_langfuse(200)
            page += 1

    def create(self, path: str, body: Record, what: str) -> Record:
        """Make a widget, a dashboard or a tile; ``what`` names it in an error."""
        return self._ask("POST", path, body, what)

    def change(self, path: str, body: Record, what: str) -> Record:
        """Change a widget."""
        return self._ask("PATCH", path, body, what)

    def delete(self, path: str, what: str) -> None:
        """Delete a widget, a dashboard or a tile; one that is gone already is as good as deleted.

        Raises ``WidgetInUseError`` for a widget that a dashboard shows.
        """
        self._ask("DELETE", path, None, what, gone_is_fine=True)

    def _ask(
        self,
        method: str,
        path: str,
        body: Record | None = None,
        what: str = "",
        *,
        gone_is_fine: bool = False,
    ) -> Record:
        answer = retrying_once(lambda: self._connection.send(method, path, body))
        found = json_of(answer)
        if answer.status_code == 200 and isinstance(found, dict):
            return found
        is_of_this_api = isinstance(found, dict) and isinstance(found.get("code"), str)
        if answer.status_code == 404 and not is_of_this_api:
            raise self._too_old()
        said = str(found.get("message", "")) if isinstance(found, dict) else ""
        if answer.status_code == 404 and gone_is_fine:
            return {}
        if answer.status_code == 409:
            raise WidgetInUseError(said)
        raise self._refused(answer, found if isinstance(found, dict) else {}, said, what)

    def _refused(self, answer: httpx.Response, found: Record, said: str, what: str) -> DashboardError:
        status = answer.status_code
        if status in (401, 403):
            return DashboardError(
                f"these keys may not change dashboards ({status}: {said or 'no reason given'}). Make a pair "
                "in the project: Settings, API Keys."
            )
        if status == 429:
            wait = retry_after(answer)
            after = f" in {wait} seconds" if wait is not None else " later"
            return DashboardError(f"Langfuse limits the number of requests (429). Run this again{after}.")
        if status in (400, 404, 422):
            return DashboardError(f"Langfuse refuses {what or 'the request'}: {said}{_details(found)}")
        if status >= 500:
            return DashboardError(
                f"{self._connection.base_url} answers with status {status}. Run this again later: it goes on "
                "where it stopped."
            )
        return self._not_langfuse(status)

    def _not_langfuse(self, status: int) -> DashboardError:
        return DashboardError(
            f"{self._connection.base_url} answers, but not as Langfuse does (status {status}). Give the "
            "address that the browser shows, up to the host."
        )

    def _too_old(self) -> DashboardError:
        health = json_of(self._connection.get("/api/public/health"))
        version = health.get("version") if isinstance(health, dict) else None
        name = f"Langfuse {version}" if isinstance(version, str) else "the Langfuse"
        return DashboardError(
            f"{name} at {self._connection.base_url} has no API for dashboards (404). Upgrade it: "
            f"this was run with Langfuse {RUN_WITH}, which calls that API unstable."
        )


def tile_path(dashboard: str, tile: str) -> str:
    """Return the path of a tile on a dashboard."""
    return f"{DASHBOARDS}/{dashboard}/placements/{quote(tile, safe='')}"


def _details(found: Record) -> str:
    """Return what an error says of the field that is wrong."""
    match found.get("details"):
        case {"issues": [{"path": list(path), "message": str(text)}, *_]}:
            return f" ({'.'.join(map(str, path)) or 'body'}: {text})"
        case {"field": str(field), "allowedValues": list(allowed)}:
            return f" ({field}; allowed: {', '.join(map(str, allowed))})"
        case {"field": str(field)}:
            return f" ({field})"
    return ""
