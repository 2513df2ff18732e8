"""Compare what Codex's configuration promises to send with what was seen on the wire."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from codex_langfuse.testplan.wire import Exchange

# Configuration key, and the part of the environment variables' names, of each signal.
_SIGNALS = {"exporter": "LOGS", "trace_exporter": "TRACES", "metrics_exporter": "METRICS"}

# Where Codex sends metrics unless `metrics_exporter` or `[analytics]` says otherwise.
OPENAI_METRICS = "https://ab.chatgpt.com/otlp/v1/metrics"


def exporters(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return, for each signal of ``[otel]`` that goes out by OTLP over HTTP, its exporter table."""
    otel = config.get("otel", {})
    tables = {key: otel.get(key) for key in _SIGNALS}
    found = {key: table.get("otlp-http") for key, table in tables.items() if isinstance(table, dict)}
    return {key: table for key, table in found.items() if table is not None}


def check_deliveries(
    config: dict[str, Any],
    environment: dict[str, str],
    requests: Sequence[Exchange],
    *,
    status: int,
    nothing: bool,
    dropped: str,
) -> str | None:
    """Tell what is wrong with what one turn of Codex sent, or None.

    Args:
        config: Codex's whole configuration.
        environment: what Codex was started with.
        requests: all that left Codex during the turn.
        status: what every export request must have been answered.
        nothing: no export request may have been made.
        dropped: the configured header, in lower case, that must not arrive; empty for none.
    """
    # What goes to a port of this machine does not pass the proxy; a page sees it by other means.
    wanted = {
        key: table for key, table in exporters(config).items() if "://127.0.0.1" not in table["endpoint"]
    }
    endpoints = {table["endpoint"] for table in wanted.values()}
    sent = [request for request in requests if _url(request) in endpoints]
    others = {_url(request) for request in requests} - endpoints
    allowed = set() if "metrics_exporter" in config["otel"] else {OPENAI_METRICS}
    if others - allowed:
        return f"requests to other places: {sorted(others - allowed)}"
    if nothing:
        return f"{len(sent)} export requests were made" if sent else None
    for key, table in wanted.items():
        to_endpoint = [request for request in sent if _url(request) == table["endpoint"]]
        if not to_endpoint:
            return f"nothing was sent to {table['endpoint']}"
        from_environment = _headers_of_environment(environment, _SIGNALS[key])
        expected = {
            **{name.lower(): value for name, value in table.get("headers", {}).items()},
            **from_environment,
        }
        for request in to_endpoint:
            if request.status != status:
                return f"{_url(request)} was answered {request.status}: {request.answer[:300]!r}"
            missing = [name for name, value in expected.items() if request.headers.get(name) != value]
            if dropped and dropped not in missing:
                return f"{dropped} was sent"
            missing = [name for name in missing if name != dropped]
            if missing:
                return f"{_url(request)} lacked these headers, or had others: {missing}"
    return None


def _url(request: Exchange) -> str:
    return request.origin + request.path


def _headers_of_environment(environment: dict[str, str], signal: str) -> dict[str, str]:
    text = environment.get(f"OTEL_EXPORTER_OTLP_{signal}_HEADERS") or environment.get(
        "OTEL_EXPORTER_OTLP_HEADERS"
    )
    pairs = (entry.split("=", 1) for entry in (text or "").split(",") if "=" in entry)
    return {unquote(name).strip().lower(): unquote(value).strip() for name, value in pairs}
