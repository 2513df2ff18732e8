"""What is looked at: the files, the environment, the version of Codex, its background processes."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from codex_langfuse.check.daemons import Daemon
from codex_langfuse.check.findings import Place
from codex_langfuse.check.refusal import Refusal
from codex_langfuse.codex import versions
from codex_langfuse.codex.versions import Version
from codex_langfuse.configuration.config_files import ConfigFile, ConfigFiles
from codex_langfuse.configuration.edit import Names, value_at
from codex_langfuse.keys.credentials import REGIONS, TRACES_PATH, base_url_in

GENERIC_HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"

#: Each signal's key of ``[otel]``, and its word in the names of environment variables.
SIGNALS: Mapping[str, str] = {"trace_exporter": "TRACES", "exporter": "LOGS", "metrics_exporter": "METRICS"}


@dataclass(frozen=True)
class Exporter:
    """An exporter as Codex sees it after all files: ``otlp-http`` or ``otlp-grpc``, or only a name."""

    key: str
    kind: str
    table: Mapping[str, Any]

    @property
    def path(self) -> Names:
        """The path of its table."""
        return ("otel", self.key, self.kind)

    @property
    def endpoint(self) -> str:
        """Its address as written; empty when there is none."""
        endpoint = self.table.get("endpoint")
        return endpoint if isinstance(endpoint, str) else ""

    @property
    def headers(self) -> dict[str, str]:
        """Its headers as written, those that are strings."""
        headers = self.table.get("headers")
        given = headers.items() if isinstance(headers, Mapping) else ()
        return {name: value for name, value in given if isinstance(value, str)}

    @property
    def tls(self) -> Mapping[str, Any]:
        """Its TLS settings."""
        tls = self.table.get("tls")
        return tls if isinstance(tls, Mapping) else {}


@dataclass(frozen=True)
class Header:
    """A header that Codex will try to send, and where it was found."""

    name: str
    value: str
    place: Place


@dataclass(frozen=True)
class Setup:
    """Everything that decides what Codex exports. ``version`` is None when it is not known.

    ``without_price``: in words, the models and kinds of tokens for which the relay of this user found no
    price in Langfuse. ``refusal``: why the installed Codex does not load these files, if it was asked.
    """

    files: ConfigFiles
    environment: Mapping[str, str]
    version: Version | None = None
    profile: str | None = None
    daemons: tuple[Daemon, ...] = ()
    without_price: str = ""
    refusal: Refusal | None = None

    @cached_property
    def layers(self) -> list[ConfigFile]:
        """The files whose ``[otel]`` counts, the weakest first; only those that are TOML."""
        enforced = self.version is None or self.version >= versions.REQUIREMENTS_ENFORCED
        return [file for file in self.files.precedence(requirements=enforced) if file.document is not None]

    @cached_property
    def data(self) -> dict[str, Any]:
        """What all of them say together."""
        merged: dict[str, Any] = {}
        for layer in self.layers:
            _merge(merged, layer.data)
        return merged

    @property
    def is_incomplete(self) -> bool:
        """Return whether a file that counts could not be read, so that what is missing may be in it."""
        unread = any(file.error is not None for file in self.files.precedence(requirements=False))
        return unread or bool(self.home_problem)

    @cached_property
    def home_problem(self) -> str:
        """What Codex says when its folder is not one, or its file is: then it does not start."""
        given, user = self.environment.get("CODEX_HOME"), self.files.user_path
        if given and not Path(given).is_dir():
            why = "is not a directory" if Path(given).exists() else "does not exist"
            return f"CODEX_HOME points to {given!r}, but that path {why}."
        return f"{user} is not a file." if user.is_dir() else ""

    def get(self, path: Names, default: Any = None) -> Any:
        """Return the value of a setting."""
        return value_at(self.data, path, default)

    def file_of(self, path: Names) -> ConfigFile | None:
        """Return the strongest file that has something at ``path``."""
        holders = [layer for layer in self.layers if value_at(layer.data, path) is not None]
        return holders[-1] if holders else None

    def place(self, path: Names) -> Place:
        """Return the place of a setting, or of the table around it, or the file it belongs in."""
        for depth in range(len(path), 0, -1):
            file = self.file_of(path[:depth])
            if file is not None:
                return place_in(file, path[:depth])
        return Place(self.files.user_path)

    def exporter(self, key: str) -> Exporter | None:
        """Return the exporter of a signal, None when there is none, or when it is written wrongly."""
        value = self.get(("otel", key))
        if isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in ("none", "statsig"):
            value = next(iter(value))  # `{ none = {} }` is the same.
        if isinstance(value, str) and value not in ("none", "otlp-http", "otlp-grpc"):
            return Exporter(key, value, {})
        if isinstance(value, Mapping) and len(value) == 1:
            kind, table = next(iter(value.items()))
            if kind in ("otlp-http", "otlp-grpc") and isinstance(table, Mapping):
                return Exporter(key, kind, table)
        return None

    @property
    def exporters(self) -> list[Exporter]:
        """The exporters of all signals that have one."""
        found = (self.exporter(key) for key in SIGNALS)
        return [exporter for exporter in found if exporter is not None]

    @property
    def headers_helper(self) -> str | None:
        """The command that Codex runs to get headers; None for none, or a Codex that does not know it."""
        command = self.get(("otel", "headers_helper"))
        if self.version is not None and self.version < versions.HEADERS_HELPER:
            return None
        return command if isinstance(command, str) else None

    def headers(self, exporter: Exporter) -> list[Header]:
        """Return what Codex sends: the file's headers; one of the environment wins over its namesake."""
        headers = {
            name.lower(): Header(name, value, self.place((*exporter.path, "headers", name)))
            for name, value in exporter.headers.items()
        }
        variable = f"OTEL_EXPORTER_OTLP_{SIGNALS[exporter.key]}_HEADERS"
        if variable not in self.environment:
            variable = GENERIC_HEADERS
        for name, value in header_list(self.environment.get(variable, "")):
            headers[name.lower()] = Header(name, value, Place(name=variable))
        return list(headers.values())

    def is_langfuse(self, endpoint: str) -> bool:
        """Return whether an address looks like one of Langfuse, Cloud or self-hosted."""
        parts = split_address(endpoint)
        host = (parts.hostname or "") if parts else ""
        known = split_address(base_url_in(self.environment) or "")
        return (
            host in cloud_hosts()
            or host.endswith(".langfuse.com")
            or "/api/public/otel" in endpoint
            or bool(host and known and known.netloc == (parts.netloc if parts else ""))
        )

    @property
    def metrics_go_to_openai(self) -> bool:
        """Return whether Codex sends its metrics to OpenAI, as it does by default."""
        if self.version is not None and self.version < versions.METRICS_BY_DEFAULT:
            return False
        analytics = bool(self.get(("analytics", "enabled"), True))
        return analytics and self.get(("otel", "metrics_exporter"), "statsig") == "statsig"


def cloud_hosts() -> set[str]:
    """Return the hosts of Langfuse Cloud."""
    return {urlsplit(region.url).netloc for region in REGIONS}


def header_list(text: str) -> list[tuple[str, str]]:
    """Read ``name=value,name=value`` as Codex does; what has no ``=`` is left out."""
    pairs = (part.split("=", 1) for part in text.split(",") if "=" in part)
    return [(name.strip(), unquote(value.strip())) for name, value in pairs if name.strip()]


def split_address(address: str) -> Any:
    """Split an address, or return None when that cannot be done."""
    try:
        parts = urlsplit(address)
        _ = parts.port, parts.hostname
    except ValueError:
        return None
    return parts


def is_traces_path(path: str) -> bool:
    """Return whether a path ends as Langfuse's own does; it redirects from one with a slash at the end."""
    return path.rstrip("/").endswith(TRACES_PATH)


def place_in(file: ConfigFile, path: Names) -> Place:
    """Return the place of ``path`` in ``file``."""
    offset = file.document.offset(path) if file.document else None
    if offset is None or file.document is None:
        return Place(file.path)
    return Place(file.path, *file.document.place(offset))


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for name, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(name), dict):
            _merge(below[name], value)
        else:
            below[name] = copy.deepcopy(value)
