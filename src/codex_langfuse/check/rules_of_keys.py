"""Are the keys right, do they get to Langfuse, and to nobody else?"""

import difflib
import fnmatch
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from codex_langfuse.check.authorization import mistake_in
from codex_langfuse.check.findings import Finding, Place, edit
from codex_langfuse.check.helper import problem_of
from codex_langfuse.check.setup import (
    GENERIC_HEADERS,
    SIGNALS,
    Exporter,
    Header,
    Setup,
    cloud_hosts,
    header_list,
    split_address,
)
from codex_langfuse.codex import versions
from codex_langfuse.configuration.amend import EXCLUDE, EXCLUDED, INGESTION_VERSION
from codex_langfuse.keys.credentials import TRACES_HEADERS, base_url_in, is_this_machine

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VARIABLES = (TRACES_HEADERS, GENERIC_HEADERS, "OTEL_EXPORTER_OTLP_LOGS_HEADERS")
_LANGFUSE_SECRET = re.compile(r"sk-lf-\w|c2stbGYt|Basic cGstbGYt")
_ENV_VARS = 'env_vars = ["LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"], and delete the lines with the keys'
_SECRET_NAME = re.compile(r"(?i)authorization|key|token|secret")


def find(setup: Setup) -> Iterator[Finding]:
    """Yield what is wrong with headers, and where keys may be seen."""
    for exporter in setup.exporters:
        if exporter.kind in ("otlp-http", "otlp-grpc"):
            yield from _headers(setup, exporter)
            yield from _twice(setup, exporter)
            yield from _in_file(setup, exporter)
    yield from _helper(setup)
    yield from _generic_headers(setup)
    yield from _misspelt_variable(setup)
    yield from _in_mcp_servers(setup)
    yield from _other_region(setup)
    yield from _readable_file(setup)
    yield from _visible_to_commands(setup)


def is_sent(header: Header) -> bool:
    """Return whether Codex sends a header: one with a line break, or a name that no header has, it drops."""
    return bool(_HEADER_NAME.fullmatch(header.name)) and not re.search(
        r"[\x00-\x08\x0a-\x1f\x7f]", header.value
    )


def _headers(setup: Setup, exporter: Exporter) -> Iterator[Finding]:
    headers = setup.headers(exporter)
    to_langfuse = setup.is_langfuse(exporter.endpoint) and exporter.key == "trace_exporter"
    dropped = False
    for header in headers:
        if not _HEADER_NAME.fullmatch(header.name):
            dropped = dropped or "authorization" in header.name.lower()
            if header.place.path is not None:
                yield Finding("header-name", header.place, f"The name is {header.name!r}.")
            elif to_langfuse and "authorization" in header.name.lower():
                yield Finding("header-variable", header.place)
        elif header.name.lower() == "authorization" and (to_langfuse or not is_sent(header)):
            dropped = True
            mistake = mistake_in(header.value)
            if mistake:
                yield Finding(mistake, header.place)
        elif not is_sent(header):
            yield Finding("line-break", header.place, f"The header is `{header.name}`.")
        elif header.name.lower().replace("_", "-") == INGESTION_VERSION and to_langfuse:
            yield from _ingestion_version(exporter, header)
    if to_langfuse and exporter.kind == "otlp-http" and not dropped and not _user_info(exporter.endpoint):
        yield from _no_authorization(setup, exporter)


def _twice(setup: Setup, exporter: Exporter) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for name in exporter.headers:
        same = first.setdefault(name.lower(), name)
        if same != name:
            place = setup.place((*exporter.path, "headers", name))
            yield Finding("header-twice", place, f"`{same}` and `{name}` are the same header.")


def _helper(setup: Setup) -> Iterator[Finding]:
    """What can be seen of ``headers_helper`` without running it."""
    if setup.headers_helper is None or not setup.exporters:
        return
    problem = problem_of(setup, setup.headers_helper)
    if problem:
        yield Finding("headers-helper", setup.place(("otel", "headers_helper")), f"{problem}.")


def _no_authorization(setup: Setup, exporter: Exporter) -> Iterator[Finding]:
    if setup.headers_helper is not None:
        return
    variable = TRACES_HEADERS if TRACES_HEADERS in setup.environment else GENERIC_HEADERS
    value = setup.environment.get(variable, "")
    names = {name.lower() for name, _ in header_list(value)}
    if re.search(r"(?i)authorization|basic", value) and "authorization" not in names:
        yield Finding("header-variable", Place(name=variable))
        return
    detail = ""
    if variable == TRACES_HEADERS and "authorization" in setup.environment.get(GENERIC_HEADERS, "").lower():
        detail = f"`{TRACES_HEADERS}` is set, so Codex does not look at `{GENERIC_HEADERS}`."
    yield Finding("no-authorization", setup.place(exporter.path), detail)


def _ingestion_version(exporter: Exporter, header: Header) -> Iterator[Finding]:
    number = re.match(r"\s*([+-]?\d{1,18})", header.value)
    if number is not None:
        if int(number[1]) <= 4:
            return
    elif not header.value.strip():
        return
    where = (*exporter.path, "headers", header.name)
    yield Finding(
        "ingestion-version",
        header.place,
        f"It is {header.value!r}.",
        f'{INGESTION_VERSION} = "4"',
        edit(lambda draft: draft.set(where, "4")) if header.place.path else None,
    )


def _user_info(endpoint: str) -> bool:
    parts = split_address(endpoint)
    return bool(parts and "@" in parts.netloc)


def _in_file(setup: Setup, exporter: Exporter) -> Iterator[Finding]:
    place = setup.place((*exporter.path, "endpoint"))
    if _user_info(exporter.endpoint):
        yield Finding("key-in-endpoint", place)
    for name in _secret_headers(exporter):
        variable = f"OTEL_EXPORTER_OTLP_{SIGNALS[exporter.key]}_HEADERS"
        yield Finding(
            "secret-in-file",
            setup.place((*exporter.path, "headers", name)),
            f"The header is `{name}`.",
            f"put it into `{variable}`, and delete the line",
        )
    parts = split_address(exporter.endpoint)
    if parts and parts.scheme == "http" and parts.hostname and not is_this_machine(parts.hostname):
        sent = any(header.name.lower() == "authorization" for header in setup.headers(exporter))
        if sent or _user_info(exporter.endpoint):
            yield Finding("plain-http", place)


def _secret_headers(exporter: Exporter) -> list[str]:
    return [
        name
        for name, value in exporter.headers.items()
        if _SECRET_NAME.search(name) and len(value) > 6 and "$" not in value
    ]


def _generic_headers(setup: Setup) -> Iterator[Finding]:
    names = {name.lower() for name, _ in header_list(setup.environment.get(GENERIC_HEADERS, ""))}
    own = "OTEL_EXPORTER_OTLP_METRICS_HEADERS" in setup.environment
    if "authorization" in names and setup.metrics_go_to_openai and not own:
        yield Finding(
            "generic-headers",
            Place(name=GENERIC_HEADERS),
            instead=f'{TRACES_HEADERS}, or `metrics_exporter = "none"`',
        )
    elif "authorization" in names and (stranger := _stranger(setup)):
        variable = f"OTEL_EXPORTER_OTLP_{SIGNALS[stranger.key]}_HEADERS"
        host = split_address(stranger.endpoint).hostname
        yield Finding(
            "generic-headers",
            Place(name=GENERIC_HEADERS),
            f"{host} gets it, too, in place of any header in the file.",
            f"{TRACES_HEADERS}, and for {host} `{variable}`",
        )
    elif "authorization" in names and setup.metrics_go_to_openai:
        yield Finding("metrics-to-openai", setup.place(("otel", "metrics_exporter")))


def _stranger(setup: Setup) -> Exporter | None:
    """Return an exporter to somebody else that gets Langfuse's key, because it has no variable for itself."""
    traces = setup.exporter("trace_exporter")
    if traces is None or not setup.is_langfuse(traces.endpoint):
        return None
    for exporter in setup.exporters:
        parts = split_address(exporter.endpoint)
        own = f"OTEL_EXPORTER_OTLP_{SIGNALS[exporter.key]}_HEADERS" in setup.environment
        if not parts or not parts.hostname or own or setup.is_langfuse(exporter.endpoint):
            continue
        if not is_this_machine(parts.hostname):
            return exporter
    return None


def _misspelt_variable(setup: Setup) -> Iterator[Finding]:
    known = {f"OTEL_EXPORTER_OTLP_{signal}_HEADERS" for signal in SIGNALS.values()} | {GENERIC_HEADERS}
    for name in setup.environment:
        near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.9)
        if near and name not in known and near[0] not in setup.environment:
            yield Finding(
                "misspelt-variable", Place(name=name), f"Did you mean `{near[0]}`?", f"export {near[0]}=…"
            )


def _in_mcp_servers(setup: Setup) -> Iterator[Finding]:
    """Langfuse's MCP server gets its keys from the file that commands can read."""
    servers = setup.get(("mcp_servers",), {})
    for name, server in servers.items() if isinstance(servers, Mapping) else ():
        for table in ("env", "http_headers"):
            values = server.get(table) if isinstance(server, Mapping) else None
            for variable, value in values.items() if isinstance(values, Mapping) else ():
                if isinstance(value, str) and _LANGFUSE_SECRET.search(value):
                    path = ("mcp_servers", name, table, variable)
                    yield Finding("secret-in-file", setup.place(path), f"It is in `{variable}`.", _ENV_VARS)


def _other_region(setup: Setup) -> Iterator[Finding]:
    exporter = setup.exporter("trace_exporter")
    named = base_url_in(setup.environment)
    if exporter is None or not named or not setup.is_langfuse(exporter.endpoint):
        return
    mine, theirs = split_address(exporter.endpoint), split_address(named)
    if mine is None or theirs is None or not theirs.hostname:
        return
    if mine.hostname != theirs.hostname and cloud_hosts() & {mine.hostname, theirs.hostname}:
        yield Finding(
            "other-region",
            setup.place((*exporter.path, "endpoint")),
            f"The endpoint is on {mine.hostname}, `LANGFUSE_BASE_URL` on {theirs.hostname}.",
        )


def _readable_file(setup: Setup) -> Iterator[Finding]:
    if os.name == "nt":
        return
    for exporter in setup.exporters:
        secrets: list[tuple[str, ...]] = [("headers", name) for name in _secret_headers(exporter)]
        if _user_info(exporter.endpoint):
            secrets.append(("endpoint",))
        for rest in secrets:
            file = setup.file_of((*exporter.path, *rest))
            try:
                mode = file.path.stat().st_mode & 0o777 if file else 0
            except OSError:
                continue
            if file and mode & 0o044:
                own = file.kind in ("user", "profile")
                yield Finding(
                    "readable-file",
                    Place(file.path),
                    f"Its mode is {mode:o}.",
                    f"chmod 600 {file.path}",
                    private=own,
                )
                return


def _visible_to_commands(setup: Setup) -> Iterator[Finding]:
    if not setup.exporters:
        return
    holding = [
        name for name in _HEADER_VARIABLES if "authorization" in setup.environment.get(name, "").lower()
    ]
    if "sk-lf-" in setup.environment.get("LANGFUSE_SECRET_KEY", ""):
        holding.append("LANGFUSE_SECRET_KEY")
    if not holding:
        return
    policy = setup.get(EXCLUDE[:1], {})
    policy = policy if isinstance(policy, Mapping) else {}
    shown = [name for name in holding if not _hidden(policy, name)]
    if shown:
        yield Finding(
            "key-visible",
            setup.place(EXCLUDE),
            f"It is in `{shown[0]}`.",
            'exclude = ["OTEL_*", "LANGFUSE_*"]',
            edit(lambda draft: draft.add_to_array(EXCLUDE, EXCLUDED)),
        )
    elif setup.version is not None and versions.snapshot_undoes_policy(setup.version):
        path = ("features", "shell_snapshot")
        if setup.get(path) is not False:
            yield Finding(
                "snapshot-shows-key",
                setup.place(path),
                f"This is Codex {setup.version}.",
                "shell_snapshot = false",
                edit(lambda draft: draft.set(path, False)),
            )


def _hidden(policy: Mapping[str, Any], name: str) -> bool:
    if policy.get("inherit") in ("core", "none"):
        return True
    only = policy.get("include_only")
    if isinstance(only, list) and only and not _matches(only, name):
        return True
    return _matches(policy.get("exclude"), name)


def _matches(patterns: object, name: str) -> bool:
    if not isinstance(patterns, list):
        return False
    return any(isinstance(p, str) and fnmatch.fnmatchcase(name.upper(), p.upper()) for p in patterns)
