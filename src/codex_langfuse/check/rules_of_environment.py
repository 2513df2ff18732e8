"""Do environment variables, processes and what goes onto the spans let it work as it is meant?"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from operator import methodcaller

from codex_langfuse import proxies
from codex_langfuse.check.daemons import Daemon
from codex_langfuse.check.findings import Finding, Place, edit, setting
from codex_langfuse.check.setup import Setup, split_address
from codex_langfuse.codex import versions
from codex_langfuse.configuration.config_files import codex_home
from codex_langfuse.configuration.edit import literal
from codex_langfuse.keys.labels import nearest_environment

_ENVIRONMENT_NAMES = ("langfuse.environment", "deployment.environment.name", "deployment.environment")
_SESSION_NAMES = ("langfuse.session.id", "session.id", "gen_ai.conversation.id")
_WITHOUT_EFFECT = (
    *("OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
    *("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"),
)
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")

_PARENT_BASED = ("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})"
)

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
    if setup.without_price:
        yield Finding("no-price", Place(name="relay"), setup.without_price)
    yield from _proxies(setup)
    yield from _second_route(setup)


def _proxies(setup: Setup) -> Iterator[Finding]:
    """Codex sends what is for this machine to a proxy, unless ``NO_PROXY`` names it."""
    environment = setup.environment
    for exporter in setup.exporters:
        parts = split_address(exporter.endpoint)
        host = parts.hostname if parts else None
        if not host or not proxies.takes_no_proxy(host):
            continue
        names = [f"{parts.scheme}_proxy", f"{parts.scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"]
        if parts.scheme == "http" and "REQUEST_METHOD" in environment:
            names.remove("HTTP_PROXY")
        proxy = next((name for name in names if environment.get(name)), None)
        excepted = (
            (environment.get("no_proxy") or environment.get("NO_PROXY") or "").replace(" ", "").split(",")
        )
        if proxy and not _is_excepted(host, excepted):
            yield Finding(
                "proxy-takes-local",
                Place(name=proxy),
                f"{host} is this machine.",
                f"export NO_PROXY={','.join([*filter(None, excepted), '127.0.0.1', 'localhost'])}",
            )
            return


def _is_excepted(host: str, excepted: list[str]) -> bool:
    if "*" in excepted or host in excepted:
        return True
    if any(name and host.endswith("." + name.lstrip(".")) for name in excepted):
        return True
    for name in excepted:
        with suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
    return False


def _second_route(setup: Setup) -> Iterator[Finding]:
    """Langfuse's plugin sends each turn, too."""
    plugins = setup.get(("plugins",), {})
    traces = setup.exporter("trace_exporter") or setup.exporter("exporter")
    if traces is None or not isinstance(plugins, Mapping):
        return
    for name, plugin in plugins.items():
        if (
            "codex-observability-plugin" in name
            and isinstance(plugin, Mapping)
            and plugin.get("enabled", True)
        ):
            path = ("plugins", name, "enabled")
            yield Finding(
                "two-routes",
                setup.place(path),
                f"`{name}` is enabled, and so is `{traces.key}`.",
                "enabled = false",
                setting(path, False),
            )


def _variables(setup: Setup) -> Iterator[Finding]:
    environment = setup.environment
    for name in ("OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"):
        old = setup.version is not None and setup.version < versions.COMPRESSION_FATAL
        if environment.get(name) and not old:
            yield Finding("compression", Place(name=name), f"It is {environment[name]!r}.", f"unset {name}")
            break
    yield from _sampling(environment)
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


def _sampling(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Find what keeps spans from being sent: a caller that does not sample, or a sampler.

    Measured with ``codex exec`` 0.171.0: flags 00 and 02 of ``TRACEPARENT`` mean not sampled. Flags from 03
    on, capitals, ids of zeros, or text behind the flags make Codex ignore it.
    """
    sampler = environment.get("OTEL_TRACES_SAMPLER", "")
    written = environment.get("TRACEPARENT", "")
    caller = _TRACEPARENT.fullmatch(written)
    taken = caller is not None and int(caller["flags"], 16) < 3
    if written and not taken:
        yield Finding("caller-ignored", Place(name="TRACEPARENT"), f"It is {written!r}.")
    if taken and sampler in ("", *_PARENT_BASED):
        assert caller is not None
        if caller["flags"] != "01":
            yield Finding(
                "caller-not-sampled",
                Place(name="TRACEPARENT"),
                f"Its flags are {caller['flags']}.",
                "export OTEL_TRACES_SAMPLER=always_on",
            )
        return
    share = _share(sampler, environment.get("OTEL_TRACES_SAMPLER_ARG", ""))
    if share == 0:
        yield Finding("sampler", Place(name="OTEL_TRACES_SAMPLER"), instead="unset OTEL_TRACES_SAMPLER")
    elif share < 1:
        yield Finding(
            "sampler-ratio",
            Place(name="OTEL_TRACES_SAMPLER_ARG"),
            f"{share:.4g} of all traces are sent.",
            "unset OTEL_TRACES_SAMPLER",
        )


def _share(sampler: str, ratio: str) -> float:
    """Return what part of the traces a sampler sends; what Codex does not understand, it ignores."""
    if sampler in ("always_off", "parentbased_always_off"):
        return 0
    if "traceidratio" not in sampler:
        return 1
    try:
        return min(1, max(0, float(ratio)))
    except ValueError:
        return 1


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
            yield Finding("daemon", Place(name=f"process {daemon.pid}"), why, "codex app-server daemon stop")


def _outdated(setup: Setup, daemon: Daemon) -> str:
    if daemon.environment is not None:
        if codex_home(daemon.environment) != codex_home(setup.environment):
            return ""
        mine = _telemetry_variables(setup.environment)
        theirs = _telemetry_variables(daemon.environment)
        changed = sorted(name for name in mine | theirs if mine.get(name) != theirs.get(name))
        if changed:
            return f"It was started with another `{changed[0]}`."
    if daemon.version and setup.version and daemon.version != setup.version:
        return f"It is Codex {daemon.version}, not {setup.version}."
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
