"""Do environment variables, processes and what goes onto the spans let it work as it is meant?"""

import re
from collections.abc import Iterator, Mapping
from operator import methodcaller

from codex_langfuse.check.daemons import Daemon
from codex_langfuse.check.findings import Finding, Place, edit
from codex_langfuse.check.setup import Setup
from codex_langfuse.codex import versions
from codex_langfuse.configuration.config_files import codex_home
from codex_langfuse.configuration.edit import literal
from codex_langfuse.keys.labels import nearest_environment

_ENVIRONMENT_NAMES = ("langfuse.environment", "deployment.environment.name", "deployment.environment")
_SESSION_NAMES = ("langfuse.session.id", "session.id", "gen_ai.conversation.id")
_WITHOUT_EFFECT = ("OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_CERTIFICATE")
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")

#: Milliseconds: a time limit below cannot be meant, one above holds the end of a run up longer than usual.
_SHORTEST, _LONGEST = 200, 10_000


def find(setup: Setup) -> Iterator[Finding]:
    """Yield what is wrong around the configuration."""
    if setup.exporters:
        yield from _variables(setup)
    exporter = setup.exporter("trace_exporter")
    if exporter is not None and setup.is_langfuse(exporter.endpoint):
        yield from _environment(setup)
        yield from _session(setup)
    yield from _daemons(setup)


def _variables(setup: Setup) -> Iterator[Finding]:
    environment = setup.environment
    for name in ("OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"):
        old = setup.version is not None and setup.version < versions.COMPRESSION_FATAL
        if environment.get(name) and not old:
            yield Finding("compression", Place(name=name), f"It is {environment[name]!r}.", f"unset {name}")
            break
    sampler = environment.get("OTEL_TRACES_SAMPLER", "")
    ratio = environment.get("OTEL_TRACES_SAMPLER_ARG", "")
    nothing = "traceidratio" in sampler and re.fullmatch(r"\s*0*\.?0+\s*", ratio)
    if sampler in ("always_off", "parentbased_always_off") or nothing:
        yield Finding("sampler", Place(name="OTEL_TRACES_SAMPLER"), instead="unset OTEL_TRACES_SAMPLER")
    for name in _TIMEOUTS:
        value = environment.get(name, "")
        if value.isdecimal():
            if int(value) < _SHORTEST:
                yield Finding("timeout-unit", Place(name=name), f"It is {value} ms.", f"export {name}=10000")
            elif int(value) > _LONGEST:
                yield Finding("timeout-long", Place(name=name), f"It is {value} ms.")
            break
    for name in _WITHOUT_EFFECT:
        if environment.get(name):
            yield Finding("env-without-effect", Place(name=name))
    exporter = setup.exporter("trace_exporter")
    if exporter is not None and exporter.endpoint:
        for name in _ENDPOINTS:
            if environment.get(name) and environment[name] != exporter.endpoint:
                yield Finding("env-without-effect", Place(name=name), "The endpoint is the one in the file.")


def _environment(setup: Setup) -> Iterator[Finding]:
    attributes = setup.get(("otel", "span_attributes"), {})
    attributes = attributes if isinstance(attributes, Mapping) else {}
    resource = setup.environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    for name in _ENVIRONMENT_NAMES:
        value = attributes.get(name)
        if isinstance(value, str):
            right = nearest_environment(value)
            if value != right:
                path = ("otel", "span_attributes", name)
                yield Finding(
                    "environment-name",
                    setup.place(path),
                    f"It is {value!r}.",
                    f"{literal(name)} = {literal(right)}",
                    edit(methodcaller("set", path, right)),
                )
            return
    named = setup.get(("otel", "environment"))
    if isinstance(named, str) and named and not any(name in resource for name in _ENVIRONMENT_NAMES):
        old = setup.version is not None and setup.version < versions.OTEL_KEYS["span_attributes"]
        right = nearest_environment(named)
        yield Finding(
            "environment-not-sent",
            setup.place(("otel", "environment")),
            f"It is {named!r}.",
            f"export OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name={right}"
            if old
            else f'"langfuse.environment" = {literal(right)}',
            None
            if old
            else edit(lambda draft: draft.set(("otel", "span_attributes", "langfuse.environment"), right)),
        )


def _session(setup: Setup) -> Iterator[Finding]:
    attributes = setup.get(("otel", "span_attributes"), {})
    for name in _SESSION_NAMES:
        if isinstance(attributes, Mapping) and name in attributes:
            yield Finding("static-session", setup.place(("otel", "span_attributes", name)))


def _daemons(setup: Setup) -> Iterator[Finding]:
    for daemon in setup.daemons:
        why = _outdated(setup, daemon)
        if why:
            yield Finding(
                "daemon", Place(name=f"process {daemon.pid}"), why, "codex app-server daemon restart"
            )


def _outdated(setup: Setup, daemon: Daemon) -> str:
    if daemon.environment is not None:
        if codex_home(daemon.environment) != codex_home(setup.environment):
            return ""
        mine = _telemetry_variables(setup.environment)
        theirs = _telemetry_variables(daemon.environment)
        changed = sorted(name for name in mine | theirs if mine.get(name) != theirs.get(name))
        if changed:
            return f"It was started with another `{changed[0]}`."
    for file in setup.layers:
        try:
            newer = file.path.stat().st_mtime > daemon.started + 1
        except OSError:
            continue
        if newer:
            return f"{file.path} was changed after it started."
    return ""


def _telemetry_variables(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("OTEL_")}
