"""Write a route into the text of a Codex configuration.

The empty text becomes, byte for byte, the reference configuration in ``examples/codex``. Whatever else is
in a text stays: other settings, comments, order, and exporters' headers for the same host.

The text may be that of a profile. Codex 0.163 merges ``NAME.config.toml`` table by table over
``config.toml``: what the profile does not say comes from below, headers of an exporter too, and nothing takes
those away. So a profile says also what must not come from there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from codex_langfuse.codex import versions
from codex_langfuse.codex.versions import Version
from codex_langfuse.configuration.edit import Draft, EditError, Names, dotted, value_at
from codex_langfuse.configuration.route import Route
from codex_langfuse.configuration.routes import RELAY, OtelSettings
from codex_langfuse.keys.credentials import REGIONS, TRACES_HEADERS, VARIABLE
from codex_langfuse.keys.labels import nearest_environment

TRACE_EXPORTER: Names = ("otel", "trace_exporter")
LOG_EXPORTER: Names = ("otel", "exporter")
METRICS_EXPORTER: Names = ("otel", "metrics_exporter")
SPAN_ATTRIBUTES: Names = ("otel", "span_attributes")
HEADERS_HELPER: Names = ("otel", "headers_helper")
EXCLUDE: Names = ("shell_environment_policy", "exclude")

#: What keeps the key from the commands that Codex runs.
EXCLUDED = ("OTEL_*", "LANGFUSE_*")
INGESTION_VERSION = "x-langfuse-ingestion-version"

_METRICS_COMMENT = "without this line Codex sends metrics to OpenAI"
_TABLE_COMMENT = 'no line `{key} = "otlp-http"` beside it'
_HELPER_COMMENT = "prints the header with the key; Codex 0.171 and newer"
_ATTRIBUTES_COMMENT = "on every span; Codex 0.130 and newer"
_LOGS_COMMENT = "without this line logs go where config.toml says"
_EXCLUDE_COMMENT = "keeps the key out of the commands that Codex runs"

_HEADLINES = re.compile(
    r"^# Codex to (?:Langfuse, traces only: |an? )[^\n]*\n# The key is not in this file: [^\n]*\n", re.M
)


class RefusedError(ValueError):
    """The installed Codex cannot do what is wanted, or it would do harm; the message says what to do."""


@dataclass
class Amended:
    """The new text, and what a person should know about it."""

    text: str
    notes: list[str] = field(default_factory=list)


def amend(
    text: str,
    settings: OtelSettings,
    version: Version | None = None,
    *,
    force: bool = False,
    below: Mapping[str, Any] | None = None,
) -> Amended:
    """Return ``text`` with ``settings`` in it; the same text if it is in it already.

    Args:
        text: a whole configuration, with only line feeds at the end of lines.
        settings: the route and what goes with it.
        version: the Codex that will read it; None for one that understands everything.
        force: accept a Codex whose spans hold prompts and answers.
        below: what ``config.toml`` says, when ``text`` is that of a profile.

    Raises:
        syntax.TomlError: ``text`` is not TOML.
        EditError: it cannot be changed without harm.
        RefusedError: this Codex cannot do it, or only at the price of what people must keep.
    """
    draft = Draft(text)
    if not isinstance(draft.get(("otel",), {}), dict):
        raise EditError("`otel` is not a table in this file; remove it first")
    _require_capable(settings, version, force)
    amendment = _Amendment(draft, settings, version, Amended(text), below or {})
    amendment.write()
    amendment.result.text = draft.text
    return amendment.result


def _require_capable(settings: OtelSettings, version: Version | None, force: bool) -> None:
    if version is None or settings.route is Route.OFF:
        return
    if version < versions.FIRST_WITH_OTEL:
        raise RefusedError(f"Codex {version} has no telemetry; install {versions.LEAKS_CONTENT[1]} or newer")
    if settings.route is not Route.RELAY and version < versions.OTEL_KEYS["trace_exporter"]:
        raise RefusedError(
            f"Codex {version} has no traces, and this route accepts nothing else; "
            f"install {versions.LEAKS_CONTENT[1]} or newer"
        )
    if settings.route is Route.DIRECT and versions.leaks_content(version) and not force:
        raise RefusedError(
            f"Codex {version} puts prompts, commands, their output and answers into traces, and no setting "
            f"prevents it; install {versions.LEAKS_CONTENT[1]} or newer, or add --force if you want that"
        )


@dataclass
class _Amendment:
    draft: Draft
    settings: OtelSettings
    version: Version | None
    result: Amended
    below: Mapping[str, Any]

    def write(self) -> None:
        had_otel = self.draft.get(("otel",)) is not None
        if had_otel and not self._by_helper:
            self._set_helper()
        if self.settings.route is Route.OFF:
            self._switch_off()
        else:
            self._switch_on()
        self._headline(had_otel)

    def _note(self, text: str) -> None:
        self.result.notes.append(text)

    def _understands(self, key: str) -> bool:
        return self.version is None or self.version >= versions.OTEL_KEYS[key]

    def _below(self, path: Names) -> Any:
        """What of ``path`` shines through from ``config.toml``, as this file does not set it itself."""
        return value_at(self.below, path) if self.draft.get(path) is None else None

    @property
    def _by_helper(self) -> bool:
        return self.settings.headers_helper is not None and self.settings.route is Route.DIRECT

    def _set_helper(self) -> None:
        """Let Codex run the command that prints the header, or take ours away where it is not needed."""
        given = self.draft.get(HEADERS_HELPER)
        ours = isinstance(given, str) and re.search(
            r"codex.langfuse\S* auth --headers|generate-langfuse-auth", given
        )
        if self._by_helper:
            if given is not None and not ours:
                self._note("headers_helper is replaced; the backup has the old value")
            self.draft.set(HEADERS_HELPER, self.settings.headers_helper, _HELPER_COMMENT)
        elif ours:
            self.draft.remove(HEADERS_HELPER)
        elif given is not None:
            self._note("headers_helper is kept; its headers are sent with everything that Codex exports")

    def _switch_off(self) -> None:
        for path in (LOG_EXPORTER, TRACE_EXPORTER, METRICS_EXPORTER):
            if not self._understands(path[-1]):
                self._note(f"{dotted(path)} is left out: Codex {self.version} does not know it")
                continue
            if isinstance(self.draft.get(path), dict):
                self.draft.remove(path)
            self.draft.set(path, "none")

    def _switch_on(self) -> None:
        direct = self.settings.route is Route.DIRECT
        environment = self.settings.environment or self.draft.get(("otel", "environment"))
        environment = environment or self._below(("otel", "environment"))
        if not isinstance(environment, str):
            environment = "prod"
        self.draft.set(("otel", "environment"), environment)
        if self._understands("metrics_exporter"):
            if isinstance(self.draft.get(METRICS_EXPORTER) or self._below(METRICS_EXPORTER), dict):
                self._note("metrics_exporter is kept: it names your own endpoint")
            else:
                self.draft.set(METRICS_EXPORTER, "none", _METRICS_COMMENT)
        if self._by_helper:
            self._set_helper()
        if self.settings.route is not Route.RELAY:
            self._drop_logs()
            self._export(
                TRACE_EXPORTER, self.settings.traces_endpoint, {INGESTION_VERSION: "4"} if direct else None
            )
        else:
            self._export(LOG_EXPORTER, self.settings.logs_endpoint, None)
            if self._understands("trace_exporter"):
                self._export(TRACE_EXPORTER, self.settings.traces_endpoint, None)
            else:
                self._note(f"traces are left out: Codex {self.version} has none before 0.73")
        if not direct and self.version and versions.leaks_content(self.version):
            self._note(
                f"Codex {self.version} puts prompts and answers into traces; "
                "the server at this address receives them"
            )
        self._describe_spans(environment)
        self._hide_the_key()

    def _export(self, path: Names, endpoint: str, headers: dict[str, str] | None) -> None:
        http = (*path, "otlp-http")
        self._refuse_mixture(path, endpoint)
        exporter, table = self.draft.get(path), self.draft.get((*path, "otlp-http"))
        same_host = isinstance(table, dict) and _host(table.get("endpoint")) == _host(endpoint)
        if not isinstance(table, dict) or len(exporter) > 1 or (headers is None and not same_host):
            if exporter not in (None, "none"):
                self._note(f"{dotted(path)} is replaced; the backup has the old value")
            self.draft.remove(path)
            values: dict[str, Any] = {"endpoint": endpoint, "protocol": "binary"}
            if headers:
                values["headers"] = headers
            self.draft.set_table(http, values, _TABLE_COMMENT.format(key=path[-1]))
            return
        self.draft.set((*http, "endpoint"), endpoint)
        if table.get("protocol") not in ("binary", "json"):
            self.draft.set((*http, "protocol"), "binary")
        self._keep_headers(http, headers, same_host)

    def _refuse_mixture(self, path: Names, endpoint: str) -> None:
        """Raise when what ``config.toml`` says of this exporter would do harm: nothing takes it away."""
        exporter = value_at(self.below, path)
        if not isinstance(exporter, Mapping):
            return
        where = dotted(path)
        way_out = "move it from config.toml into a profile of its own, or delete it there"
        others = [kind for kind in exporter if kind != "otlp-http"]
        if others:
            raise EditError(
                f"config.toml has {where}.{others[0]}. Codex merges a profile over it and refuses to start "
                f"with two exporters for one signal: {way_out}"
            )
        table = exporter.get("otlp-http")
        table = table if isinstance(table, Mapping) else {}
        headers = table.get("headers")
        strangers = (
            [name for name in headers if name.lower() != INGESTION_VERSION]
            if isinstance(headers, Mapping)
            else []
        )
        if _host(table.get("endpoint")) == _host(endpoint):
            return
        if strangers:
            raise EditError(
                f"config.toml has headers of {where} for {_host(table.get('endpoint')) or 'another address'} "
                f"({', '.join(strangers)}). Codex merges a profile over it and would send them to "
                f"{_host(endpoint)} too: {way_out}"
            )
        if "tls" in table:
            self._note(f"the certificates that config.toml names for {where} apply to this profile too")

    def _keep_headers(self, http: Names, headers: dict[str, str] | None, same_host: bool) -> None:
        given = self.draft.get((*http, "headers"))
        if not isinstance(given, dict):
            if given is not None:
                self.draft.remove((*http, "headers"))
            if headers:
                self.draft.set((*http, "headers"), headers)
            return
        names = {name.lower(): name for name in given}
        if not same_host:
            # What was meant for one address, a key perhaps, is not to be sent to another one.
            strangers = [name for lower, name in names.items() if lower not in (headers or {})]
            for name in strangers:
                self.draft.remove((*http, "headers", name))
            if strangers:
                self._note(
                    f"these headers are removed, as they were for another address: {', '.join(strangers)}"
                )
        elif "authorization" in names:
            self._judge_authorization(http, names["authorization"])
        for name, value in (headers or {}).items():
            self.draft.set((*http, "headers", names.get(name, name)), value)

    def _judge_authorization(self, http: Names, name: str) -> None:
        value = self.draft.get((*http, "headers", name))
        variable = VARIABLE.search(value) if isinstance(value, str) else None
        if variable:
            self.draft.remove((*http, "headers", name))
            giver = "headers_helper" if self._by_helper else TRACES_HEADERS
            self._note(
                f"the header {name} is removed: Codex sends {variable[0]} as it is written, not the "
                f"variable's value. {giver} gives it the key"
            )
            return
        if self._by_helper:
            self.draft.remove((*http, "headers", name))
            self._note(f"the header {name} is removed from the file: headers_helper prints it")
            return
        self._note(
            f"the file contains a key, which every command that Codex runs can read; "
            f"use {TRACES_HEADERS} instead"
        )

    def _drop_logs(self) -> None:
        inherited = self._below(LOG_EXPORTER)
        if inherited not in (None, "none"):
            self.draft.set(LOG_EXPORTER, "none", _LOGS_COMMENT)
            self._note("logs are off for this profile: else they would go where config.toml sends them")
            return
        table = self.draft.get((*LOG_EXPORTER, "otlp-http"))
        if not isinstance(table, dict):
            return
        ours = {_host(region.url) for region in REGIONS} | {
            _host(RELAY),
            _host(self.settings.traces_endpoint),
        }
        if _host(table.get("endpoint")) in ours:
            self.draft.remove(LOG_EXPORTER)
            self._note("the exporter of logs is removed: this route accepts only traces")
        else:
            self._note("logs still go where `exporter` sends them; on this route nothing needs them")

    def _describe_spans(self, environment: str) -> None:
        if self.settings.route is Route.RELAY:
            return  # It labels its traces itself.
        attributes: dict[str, str] = {}
        name = nearest_environment(environment)
        if self.settings.route is Route.DIRECT or self.settings.environment:
            attributes["langfuse.environment"] = name
            if name != environment:
                self._note(f"{environment!r} is not an environment name in Langfuse; {name!r} is used")
        if self.settings.user:
            attributes["langfuse.user.id"] = self.settings.user
        if self.settings.tags:
            attributes["langfuse.trace.tags"] = ",".join(self.settings.tags)
        if not attributes:
            return
        if not self._understands("span_attributes"):
            self._note(
                f"environment, user and tags are left out of the spans: Codex {self.version} has no "
                "span_attributes, which came with 0.130"
            )
            return
        given = self.draft.get(SPAN_ATTRIBUTES)
        if not isinstance(given, dict):
            self.draft.remove(SPAN_ATTRIBUTES)
            self.draft.set_table(SPAN_ATTRIBUTES, attributes, _ATTRIBUTES_COMMENT)
            return
        for key, value in attributes.items():
            # An environment that somebody chose for the spans stays, unless another one is asked for.
            if key in given and key == "langfuse.environment" and not self.settings.environment:
                continue
            self.draft.set((*SPAN_ATTRIBUTES, key), value)

    def _hide_the_key(self) -> None:
        policy = self.draft.get(EXCLUDE[:1])
        if policy is not None and not isinstance(policy, dict):
            raise EditError("`shell_environment_policy` is not a table in this file")
        if policy is None or "exclude" not in policy:
            # A list replaces the one below.
            inherited = self._below(EXCLUDE)
            kept = inherited if isinstance(inherited, list) else []
            if not set(EXCLUDED) <= set(kept):
                added = [name for name in EXCLUDED if name not in kept]
                self.draft.set(EXCLUDE, [*kept, *added], _EXCLUDE_COMMENT)
        else:
            self.draft.add_to_array(EXCLUDE, EXCLUDED)
        if self.version and versions.snapshot_undoes_policy(self.version):
            self.draft.set(("features", "shell_snapshot"), False, "else commands see the key all the same")
            self._note(f"features.shell_snapshot is off: in Codex {self.version} it gives commands the key")

    def _headline(self, had_otel: bool) -> None:
        where = {
            Route.DIRECT: f"Langfuse, traces only: {self.settings.base.place if self.settings.base else ''}.",
            Route.RELAY: "a relay on this machine, logs and traces.",
            Route.COLLECTOR: "a Collector, traces only.",
            Route.OFF: "",
        }[self.settings.route]
        key = {
            Route.DIRECT: "headers_helper prints it."
            if self._by_helper
            else f"it comes from {TRACES_HEADERS}.",
            Route.RELAY: "the relay has it.",
            Route.COLLECTOR: "the Collector has it.",
            Route.OFF: "",
        }[self.settings.route]
        lines = f"# Codex to {where}\n# The key is not in this file: {key}\n" if where else ""
        old = _HEADLINES.search(self.draft.text)
        if old and old[0] != lines:
            self.draft.replace_comment(old.start(), old.end(), lines)
        elif not old and not had_otel and lines:
            self.draft.prefix_section(("otel",), lines)


def _host(endpoint: object) -> str:
    try:
        parts = urlsplit(endpoint if isinstance(endpoint, str) else "")
        return parts.netloc.lower().rpartition("@")[2]
    except ValueError:
        return ""
