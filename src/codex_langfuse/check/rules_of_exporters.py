"""Will what Codex exports get to Langfuse?"""

import contextlib
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codex_langfuse.check.findings import Finding, Place, edit
from codex_langfuse.check.setup import (
    Exporter,
    Setup,
    cloud_hosts,
    is_traces_path,
    split_address,
)
from codex_langfuse.codex import versions
from codex_langfuse.configuration.config_files import read_config
from codex_langfuse.configuration.edit import dotted, literal
from codex_langfuse.configuration.secrets import masked
from codex_langfuse.keys.credentials import TRACES_PATH, is_this_machine

_OTLP = ("otlp-http", "otlp-grpc")
_OTEL = "/api/public/otel"
#: Where WSL shows the homes of Windows.
WINDOWS_HOMES = Path("/mnt/c/Users")
#: Where a relay or a Collector takes each signal.
_PATHS = {"trace_exporter": "/v1/traces", "exporter": "/v1/logs", "metrics_exporter": "/v1/metrics"}
#: What no address has; Python leaves out some of it.
_NO_ADDRESS = re.compile(r"[\x00-\x20\x7f]")
_SIGNAL_PATHS = re.compile(r"(/v1/(traces?|logs?|metrics?))+/?$")


def find(setup: Setup) -> Iterator[Finding]:
    """Yield what is wrong with exporters, endpoints and certificates."""
    yield from _version(setup)
    yield from _no_exporter(setup)
    for exporter in setup.exporters:
        if exporter.kind == "statsig":
            yield from _statsig(setup, exporter)
        elif exporter.kind in _OTLP and "endpoint" in exporter.table:
            yield from _endpoint(setup, exporter)
            yield from _tls(setup, exporter)
            if exporter.table.get("protocol") == "json":
                yield Finding("json-protocol", setup.place((*exporter.path, "protocol")))
    if setup.metrics_go_to_openai and not _generic_key(setup) and not setup.is_incomplete:
        yield Finding(
            "metrics-to-openai",
            setup.place(("otel", "metrics_exporter")),
            instead='metrics_exporter = "none"',
            repair=edit(lambda draft: draft.set(("otel", "metrics_exporter"), "none")),
        )
    yield from _traces_only(setup)
    yield from _log_keys(setup)
    yield from _analytics(setup)


def _generic_key(setup: Setup) -> bool:
    return "authorization" in setup.environment.get("OTEL_EXPORTER_OTLP_HEADERS", "").lower()


def _version(setup: Setup) -> Iterator[Finding]:
    version = setup.version
    if version is None:
        return
    traces = setup.exporter("trace_exporter") is not None
    place = Place(name=f"Codex {version}")
    if version < versions.OTEL_KEYS["trace_exporter"]:
        yield Finding("codex-too-old", place)
    elif traces and versions.leaks_content(version):
        yield Finding("leaks-content", place)


def _no_exporter(setup: Setup) -> Iterator[Finding]:
    if setup.is_incomplete:
        return
    value = setup.get(("otel", "trace_exporter"), "none")
    logs = setup.exporter("exporter")
    if value in ("none", {"none": {}}) and not (logs and logs.kind in _OTLP):
        elsewhere = next(_on_windows(), None)
        told = f"Codex on Windows reads {elsewhere}; this one does not." if elsewhere else ""
        yield Finding("no-exporter", setup.place(("otel", "trace_exporter")), told)


def _on_windows() -> Iterator[Path]:
    """Yield the configurations of Codex on Windows with an `[otel]` table, seen from WSL."""
    with contextlib.suppress(OSError):
        for path in WINDOWS_HOMES.glob("*/.codex/config.toml"):
            if "otel" in read_config("user", path).data:
                yield path


def _statsig(setup: Setup, exporter: Exporter) -> Iterator[Finding]:
    if exporter.key != "metrics_exporter":
        yield Finding(
            "signal-to-openai", setup.place(("otel", exporter.key)), f"`{exporter.key}` is one of them."
        )


def _endpoint(setup: Setup, exporter: Exporter) -> Iterator[Finding]:
    place, endpoint = setup.place((*exporter.path, "endpoint")), exporter.endpoint
    shown = masked(endpoint)
    parts = split_address(endpoint)
    if not endpoint:
        if isinstance(exporter.table.get("endpoint"), str):
            yield Finding("empty-endpoint", place, f"`{dotted(exporter.path)}` has it.")
        return
    if _NO_ADDRESS.search(endpoint):
        right = endpoint.strip()
        where = (*exporter.path, "endpoint")
        stripped = not _NO_ADDRESS.search(right)
        yield Finding(
            "endpoint-scheme",
            place,
            "There is a blank or a line break in it.",
            f"endpoint = {literal(masked(right))}" if stripped else "",
            edit(lambda draft: draft.set(where, right)) if stripped else None,
        )
        return
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        yield _scheme(exporter, place, endpoint)
        return
    yield from _port(exporter, place, parts)
    if not setup.is_langfuse(endpoint):
        if exporter.kind == "otlp-http" and parts.path in ("", "/"):
            yield _whole(exporter, place, endpoint)
        elif exporter.kind == "otlp-http":
            yield from _signal(exporter, place, parts)
        return
    if exporter.kind == "otlp-grpc":
        yield Finding("grpc", place, f"`{shown}` is Langfuse's.")
    elif exporter.key == "exporter":
        yield Finding("logs-to-langfuse", setup.place(exporter.path), f"They go to {shown}.")
    elif exporter.key == "metrics_exporter":
        yield Finding("metrics-to-langfuse", setup.place(exporter.path), f"They go to {shown}.")
    elif not _is_right_path(parts.hostname, parts.path):
        yield _path(exporter, place, endpoint)


def _scheme(exporter: Exporter, place: Place, endpoint: str) -> Finding:
    if "://" in endpoint:
        return Finding("endpoint-scheme", place, f"`{masked(endpoint)}` is no address.")
    host = split_address(f"//{endpoint}")
    name = (host.hostname if host else "") or ""
    local = is_this_machine(name)
    right = f"{'http' if local else 'https'}://{endpoint}"
    where = (*exporter.path, "endpoint")
    return Finding(
        "endpoint-scheme",
        place,
        f"`{masked(endpoint)}` is no address.",
        f"endpoint = {literal(masked(right))}",
        edit(lambda draft: draft.set(where, right)) if local or name in cloud_hosts() else None,
    )


def _port(exporter: Exporter, place: Place, parts: Any) -> Iterator[Finding]:
    """By convention OTLP comes by gRPC to 4317 and by HTTP to 4318, where the relay listens, too."""
    if parts.port == {"otlp-grpc": 4318, "otlp-http": 4317}[exporter.kind]:
        takes = "HTTP" if parts.port == 4318 else "gRPC"
        yield Finding("protocol-port", place, f"Port {parts.port} takes {takes}, `{exporter.kind}` does not.")


def _whole(exporter: Exporter, place: Place, endpoint: str) -> Finding:
    """An address without a path: Codex adds none. Port 3000 is Langfuse's, 4318 that of OTLP over HTTP."""
    parts = split_address(endpoint)
    langfuse = parts.port == 3000 and exporter.key == "trace_exporter"
    path = TRACES_PATH if langfuse else _PATHS[exporter.key]
    right = f"{parts.scheme}://{parts.netloc}{path}"
    where = (*exporter.path, "endpoint")
    return Finding(
        "endpoint-path",
        place,
        "There is no path, so Codex sends to `/`.",
        f"endpoint = {literal(masked(right))}",
        edit(lambda draft: draft.set(where, right)) if langfuse or parts.port == 4318 else None,
    )


def _signal(exporter: Exporter, place: Place, parts: Any) -> Iterator[Finding]:
    """The path of another signal, or one that is there twice, at a relay or a Collector."""
    found = _SIGNAL_PATHS.search(parts.path)
    if found is None or found[0] == _PATHS[exporter.key]:
        return
    right = f"{parts.scheme}://{parts.netloc}{parts.path[: found.start()]}{_PATHS[exporter.key]}"
    where = (*exporter.path, "endpoint")
    yield Finding(
        "endpoint-path",
        place,
        f"The path is `{masked(parts.path)}`; `{exporter.key}` sends {_PATHS[exporter.key][4:]}.",
        f"endpoint = {literal(masked(right))}",
        edit(lambda draft: draft.set(where, right)),
    )


def _is_right_path(host: str, path: str) -> bool:
    # A self-hosted Langfuse may live under a path of its own.
    if host in cloud_hosts():
        return path.rstrip("/") == TRACES_PATH
    return is_traces_path(path) and path.count(_OTEL) == 1


def _path(exporter: Exporter, place: Place, endpoint: str) -> Finding:
    parts = split_address(endpoint)
    prefix = parts.path.partition(_OTEL)[0] if _OTEL in parts.path else ""
    prefix = "" if parts.hostname in cloud_hosts() else prefix.rstrip("/")
    right = f"{parts.scheme}://{parts.netloc}{prefix}{TRACES_PATH}"
    where = (*exporter.path, "endpoint")
    return Finding(
        "endpoint-path",
        place,
        f"The path is `{parts.path or '/'}`.",
        f"endpoint = {literal(masked(right))}",
        edit(lambda draft: draft.set(where, right)),
    )


def _tls(setup: Setup, exporter: Exporter) -> Iterator[Finding]:
    tls = exporter.tls
    path = (*exporter.path, "tls")
    client = [key for key in ("client-certificate", "client-private-key") if key in tls]
    if len(client) == 1:
        yield Finding(
            "half-client-certificate", setup.place((*path, client[0])), f"Only `{client[0]}` is there."
        )
        return
    if client and setup.version is not None and setup.version < versions.MUTUAL_TLS:
        yield Finding("client-certificate-version", setup.place(path), f"This is Codex {setup.version}.")
        return
    for key in ("ca-certificate", *client):
        if isinstance(tls.get(key), str):
            yield from _certificate(setup, (*path, key), tls[key])


def _certificate(setup: Setup, path: tuple[str, ...], written: str) -> Iterator[Finding]:
    file = certificate_path(setup, path, written)
    place = setup.place(path)
    try:
        content = file.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        yield Finding("certificate-file", place, f"{file}: {error.strerror or error}.")
        return
    except ValueError:
        yield Finding("certificate-file", place, "The path has a character that no path has.")
        return
    if path[-1] == "ca-certificate" and not _holds_certificate(content):
        yield Finding("certificate-content", place, f"{file} holds none.")


def certificate_path(setup: Setup, path: tuple[str, ...], written: str) -> Path:
    """Return the file that a TLS setting names: relative to the folder of the configuration that has it."""
    if written.startswith("~/"):
        home = setup.environment.get("HOME") or setup.environment.get("USERPROFILE") or str(Path.home())
        return Path(home) / written[2:]
    file = setup.file_of(path)
    return (file.path if file else setup.files.user_path).parent / written


def _holds_certificate(content: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=content.replace("\ufffd", "?"))
    except (ssl.SSLError, ValueError):
        return False
    return True


def _analytics(setup: Setup) -> Iterator[Finding]:
    """Up to 0.161 analytics switch off the metrics, whoever gets them."""
    exporter = setup.exporter("metrics_exporter")
    if setup.version is None or setup.version >= versions.METRICS_WITHOUT_ANALYTICS or exporter is None:
        return
    path = ("analytics", "enabled")
    if exporter.kind in _OTLP and setup.get(path) is False:
        yield Finding("analytics-off", setup.place(path), f"This is Codex {setup.version}.")


def _traces_only(setup: Setup) -> Iterator[Finding]:
    """To a Collector that depends on its configuration, and a relay would show more with logs."""
    traces, logs = setup.exporter("trace_exporter"), setup.exporter("exporter")
    if traces is None or traces.kind != "otlp-http" or (logs is not None and logs.kind in _OTLP):
        return
    parts = split_address(traces.endpoint)
    if parts and parts.path == _PATHS[traces.key] and not setup.is_langfuse(traces.endpoint):
        yield Finding("traces-only", setup.place(traces.path), f"They go to {masked(traces.endpoint)}.")


def _log_keys(setup: Setup) -> Iterator[Finding]:
    logs = setup.exporter("exporter")
    if logs is not None and logs.kind in _OTLP:
        return
    for key in versions.LOG_KEYS:
        if setup.get(("otel", key)) is not None:
            yield Finding("log-keys", setup.place(("otel", key)), f"`{key}` is one of them.")
