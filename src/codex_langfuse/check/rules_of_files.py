"""Does Codex load these files, and does it read all of them?"""

import difflib
import re
from collections.abc import Iterator, Mapping
from datetime import date, time
from operator import methodcaller
from typing import Any

from codex_langfuse.check.findings import Finding, Place, Repairing, edit, renaming
from codex_langfuse.check.setup import SIGNALS, Setup, place_in, split_address
from codex_langfuse.codex import versions
from codex_langfuse.configuration.config_files import ConfigFile, Kind
from codex_langfuse.configuration.edit import Draft, Names, dotted, key_literal, literal, value_at
from codex_langfuse.configuration.repair import repair
from codex_langfuse.configuration.syntax import TomlError, earlier_place

#: What an exporter's table may hold (Codex 0.163.0, ``--strict-config``).
_EXPORTER_KEYS = {
    "otlp-http": ("endpoint", "protocol", "headers", "tls"),
    "otlp-grpc": ("endpoint", "headers", "tls"),
}
#: What people write for a key of an exporter.
_OTHER_NAMES = {"url": "endpoint", "uri": "endpoint", "address": "endpoint", "header": "headers"}
_TABLE_NAMES = ("opentelemetry", "open_telemetry", "telemetry", "otlp", "otel")
_TLS_KEYS = ("ca-certificate", "client-certificate", "client-private-key")
_VARIANTS = ("none", "statsig", "otlp-http", "otlp-grpc")
_BOOLEANS = ("log_user_prompt", "log_agent_responses", "log_guardian_assessments", "log_sse_deltas")
_OVERRULING = ("managed", "requirements")
#: Settings at the top of a file that a table pasted above them swallows.
_SETTINGS = (
    *("model", "model_provider", "model_reasoning_effort", "model_reasoning_summary", "model_verbosity"),
    *("approval_policy", "sandbox_mode", "personality", "web_search", "notify", "service_tier"),
    *("review_model", "openai_base_url", "chatgpt_base_url", "file_opener", "hide_agent_reasoning"),
)


def find(setup: Setup) -> Iterator[Finding]:
    """Yield what is wrong with the files themselves."""
    told = list(_seen(setup))
    yield from told
    if setup.refusal and not any(finding.severity == "error" for finding in told):
        place = setup.refusal.place or setup.place(setup.refusal.setting)
        yield Finding("not-loaded", place, f"Codex says: {setup.refusal.message}.")


def _seen(setup: Setup) -> Iterator[Finding]:
    for file in setup.files.files:
        if file.error is not None and file.kind not in ("project", "misplaced"):
            yield _not_toml(file, file.error)
    for file in setup.layers:
        yield from _other_table(file)
        yield from _swallowed(file)
        yield from _in_file(setup, file)
    yield from _missing_fields(setup)
    yield from _home(setup)
    yield from _legacy_profile(setup)
    yield from _missing_profile(setup)
    yield from _mixed_profile(setup)
    yield from _two_exporters_merged(setup)
    yield from _unread_files(setup)
    yield from _overridden(setup)


def _not_toml(file: ConfigFile, error: TomlError) -> Finding:
    place = Place(file.path, error.line, error.column)
    text = file.encoded.text
    detail = f"Codex says: {error.message}."
    first = earlier_place(text, error) if error.message.startswith(("duplicate", "cannot extend")) else None
    if first is not None:
        detail += f" It is already in line {first[0]}."
    found = repair(text)
    if found is None:
        return Finding("not-toml", place, detail)
    return Finding("string-and-table" if found.string else "not-toml", place, detail, found.done, _repairing)


def _repairing(text: str) -> str:
    found = repair(text)
    return found.text if found else text


def _in_file(setup: Setup, file: ConfigFile) -> Iterator[Finding]:
    otel = file.data.get("otel")
    if otel is None:
        return
    if not isinstance(otel, Mapping):
        yield _wrong_type(file, ("otel",), "a table")
        return
    for key, value in otel.items():
        path = ("otel", key)
        if key in SIGNALS:
            yield from _exporter(file, path, value)
        elif key not in versions.OTEL_KEYS:
            yield _unknown_key(file, key, otel)
        yield from _value(file, path, value)
        yield from _too_new(setup, file, path, value)


def _exporter(file: ConfigFile, path: Names, value: Any) -> Iterator[Finding]:
    place = place_in(file, path)
    if isinstance(value, str):
        if value in ("otlp-http", "otlp-grpc"):
            stray = [key for key in _EXPORTER_KEYS[value] if key in file.data["otel"]]
            instead = f"[{key_literal((*path, value))}] with `endpoint` and `protocol` below it"
            yield Finding(
                "bare-string",
                place,
                f'`{dotted(path)} = "{value}"`.',
                instead,
                edit(lambda draft: _gather(draft, path, value, ("otel",), stray))
                if "endpoint" in stray
                else None,
            )
        elif value not in _VARIANTS:
            yield Finding("unknown-exporter", place, f"`{value}` is none of {', '.join(_VARIANTS)}.")
        return
    if not isinstance(value, Mapping) or not value:
        yield _wrong_type(file, path, "a table with one exporter in it")
        return
    stray = [key for key in _EXPORTER_KEYS["otlp-http"] if key in value]
    if stray:
        kinds = [kind for kind in value if kind in _EXPORTER_KEYS]
        kind = kinds[0] if kinds else "otlp-http"
        yield Finding(
            "exporter-level",
            place_in(file, path if len(value) > 1 else (*path, stray[0])),
            f"`{stray[0]}` is directly in `{dotted(path)}`.",
            f"[{key_literal((*path, kind))}] with {' and '.join(f'`{key}`' for key in stray)} below it",
            edit(lambda draft: _gather(draft, path, kind, path, stray)) if len(kinds) < 2 else None,
        )
        return
    if len(value) > 1:
        yield Finding("two-exporters", place, f"There are {' and '.join(f'`{kind}`' for kind in value)}.")
        return
    kind, table = next(iter(value.items()))
    if kind not in _VARIANTS:
        right = kind.replace("_", "-").lower()
        known = right in _VARIANTS
        yield Finding(
            "unknown-exporter",
            place_in(file, (*path, kind)),
            f"`{kind}` is none of {', '.join(_VARIANTS)}.",
            f"`{right}`" if known else "",
            edit(lambda draft: draft.rename((*path, kind), right)) if known else None,
        )
    elif kind in _EXPORTER_KEYS:
        if isinstance(table, Mapping):
            yield from _exporter_table(file, (*path, kind), kind, table)
        else:
            yield _wrong_type(file, (*path, kind), "a table")
    elif table:
        yield _wrong_type(file, (*path, kind), "without settings")


def _exporter_table(file: ConfigFile, path: Names, kind: str, table: Mapping[str, Any]) -> Iterator[Finding]:
    for key in table:
        if key not in _EXPORTER_KEYS[kind]:
            where = (*path, key)
            right = _OTHER_NAMES.get(key.lower()) or _nearest(key.lower(), _EXPORTER_KEYS[kind])
            meant = right if right not in table else ""
            yield Finding(
                "unknown-exporter-key",
                place_in(file, where),
                f"`{kind}` has no `{key}`." + (f" Did you mean `{right}`?" if right else ""),
                f"`{meant}`" if meant else "",
                renaming(where, meant) if meant else None,
            )
    if "endpoint" in table and not isinstance(table["endpoint"], str):
        yield _wrong_type(file, (*path, "endpoint"), "a string")
    protocol = table.get("protocol")
    if kind == "otlp-http" and protocol is not None and protocol not in ("binary", "json"):
        where = (*path, "protocol")
        yield Finding(
            "protocol",
            place_in(file, where),
            f"It is {literal(protocol)}.",
            'protocol = "binary"',
            edit(lambda draft: draft.set(where, "binary")),
        )
    yield from _headers(file, (*path, "headers"), table.get("headers"))
    yield from _tls(file, (*path, "tls"), table.get("tls"))


def _headers(file: ConfigFile, path: Names, headers: Any) -> Iterator[Finding]:
    if headers is None:
        return
    if not isinstance(headers, Mapping):
        pairs = dict(_pairs(headers))
        shown = f"headers = {literal(dict.fromkeys(pairs, '…'))}" if pairs else ""
        repairing = edit(lambda draft: draft.set(path, pairs)) if pairs else None
        yield Finding("headers-string", place_in(file, path), f"It is a {_kind(headers)}.", shown, repairing)
        return
    for name, value in headers.items():
        if not _is_text(value):
            yield _not_a_string("header-value", file, (*path, name), value)


def _tls(file: ConfigFile, path: Names, tls: Any) -> Iterator[Finding]:
    if tls is None:
        return
    if not isinstance(tls, Mapping):
        yield _wrong_type(file, path, "a table")
        return
    for key, value in tls.items():
        where = (*path, key)
        right = key.replace("_", "-")
        if key in _TLS_KEYS:
            if not isinstance(value, str):
                yield _wrong_type(file, where, "a string")
        elif right in _TLS_KEYS:
            yield Finding("tls-snake-case", place_in(file, where), f"`{key}` is ignored.", f"`{right}`")
        else:
            yield Finding(
                "unknown-exporter-key",
                place_in(file, where),
                f"`tls` has no `{key}`.{_did_you_mean(key, _TLS_KEYS)}",
            )


def _value(file: ConfigFile, path: Names, value: Any) -> Iterator[Finding]:
    key = path[-1]
    if key in ("environment", "headers_helper") and not _is_text(value):
        yield _wrong_type(file, path, "a string")
    elif key == "headers_helper_refresh_interval_ms" and (type(value) is not int or value < 1):
        yield _wrong_type(file, path, "a number of milliseconds, 1 or more")
    elif key in _BOOLEANS and not isinstance(value, bool):
        yield _wrong_type(file, path, "true or false")
    elif key in ("span_attributes", "tracestate", "tool_result") and not isinstance(value, Mapping):
        yield _wrong_type(file, path, "a table")
    elif key == "span_attributes":
        for name, attribute in value.items():
            where = (*path, name)
            if not _is_text(attribute):
                yield _not_a_string("span-attribute-value", file, where, attribute)
            elif not name.strip():
                yield Finding("empty-span-attribute", place_in(file, where))
    elif key == "tracestate":
        for name, members in value.items():
            if not isinstance(members, Mapping) or not all(map(_is_text, members.values())):
                yield _wrong_type(file, (*path, name), "a table of strings")
    elif key == "tool_result":
        size = value.get("max_bytes", 0)
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            yield _wrong_type(file, (*path, "max_bytes"), "a number, 0 or more")
        for name in value:
            if name != "max_bytes":
                where = (*path, name)
                yield Finding("unknown-key", place_in(file, where), f"`{dotted(where)}` is ignored.")


def _is_text(value: Any) -> bool:
    """Return whether Codex takes a value for a string: a date, too."""
    return isinstance(value, str | date | time)


def _not_a_string(mistake: str, file: ConfigFile, path: Names, value: Any) -> Finding:
    place = place_in(file, path)
    if isinstance(value, Mapping) and mistake == "span-attribute-value":
        names = list(_dotted_names(value))
        right = literal(".".join((path[-1], *names[0]))) if names else ""
        return Finding(
            mistake,
            place,
            f"`{path[-1]}` is a table: a dot outside quotes makes one.",
            f"the key in quotes: {right}" if right else "",
            edit(lambda draft: _quote_names(draft, path)) if right else None,
        )
    if isinstance(value, Mapping | list):
        joined = isinstance(value, list) and value and all(isinstance(item, str) for item in value)
        instead = f"{key_literal(path[-1:])} = {literal(','.join(value))}" if joined else ""
        fixing = edit(lambda draft: draft.set(path, ",".join(value))) if joined else None
        return Finding(mistake, place, f"`{path[-1]}` is a {_kind(value)}.", instead, fixing)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    instead = f"{key_literal(path[-1:])} = {literal(text)}"
    fixing = edit(lambda draft: draft.set(path, text))
    return Finding(mistake, place, f"`{path[-1]}` is a {_kind(value)}.", instead, fixing)


def _unknown_key(file: ConfigFile, key: str, otel: Mapping[str, Any]) -> Finding:
    if key == "resource_attributes":
        pairs = otel[key].items() if isinstance(otel[key], Mapping) else ()
        written = ",".join(f"{name}={value}" for name, value in pairs)
        return Finding(
            "unknown-key",
            place_in(file, ("otel", key)),
            f"`otel.{key}` is ignored. Resource attributes come from `OTEL_RESOURCE_ATTRIBUTES`.",
            f"export OTEL_RESOURCE_ATTRIBUTES={written}",
        )
    if key in _SETTINGS:
        return _moved_up(file, ("otel", key))
    near = difflib.get_close_matches(key, versions.OTEL_KEYS, n=1, cutoff=0.8)
    place = place_in(file, ("otel", key))
    if near and near[0] not in otel:
        right = near[0]
        return Finding(
            "unknown-key",
            place,
            f"`otel.{key}` is ignored. Did you mean `{right}`?",
            f"`{right}`",
            edit(lambda draft: draft.rename(("otel", key), right)),
        )
    return Finding("unknown-key", place, f"`otel.{key}` is ignored.")


def _too_new(setup: Setup, file: ConfigFile, path: Names, value: Any) -> Iterator[Finding]:
    since, version = versions.OTEL_KEYS.get(path[-1]), setup.version
    if since is None or version is None or version >= since or version < versions.OTEL_KEYS["trace_exporter"]:
        return
    if path[-1] == "metrics_exporter" and value == "none":
        return  # A Codex that does not know the key sends no metrics either.
    yield Finding(
        "too-new", place_in(file, path), f"`{path[-1]}` came with {since}; this is Codex {version}."
    )


def _missing_fields(setup: Setup) -> Iterator[Finding]:
    for exporter in setup.exporters:
        if exporter.kind not in _EXPORTER_KEYS:
            continue
        file = setup.file_of(exporter.path)
        place = setup.place(exporter.path)
        if "endpoint" not in exporter.table:
            yield Finding("missing-endpoint", place, f"`{dotted(exporter.path)}` has none.")
        if exporter.kind == "otlp-http" and "protocol" not in exporter.table:
            where = (*exporter.path, "protocol")
            yield Finding(
                "missing-protocol",
                place,
                f"`{dotted(exporter.path)}` has none.",
                'protocol = "binary"',
                edit(methodcaller("set", where, "binary")) if file else None,
            )


def _legacy_profile(setup: Setup) -> Iterator[Finding]:
    file = setup.files.of("user")
    profiles = file.data.get("profiles") if file else None
    if file is None or not isinstance(profiles, Mapping):
        return
    for name, profile in profiles.items():
        otel = isinstance(profile, Mapping) and "otel" in profile
        if name != setup.profile and otel and setup.exporters:
            path = ("profiles", name, "otel")
            yield Finding("unknown-key", place_in(file, path), f"`{dotted(path)}` is ignored.")
        elif name == setup.profile or otel:
            target = file.path.with_name(f"{name}.config.toml")
            yield Finding(
                "legacy-profile",
                place_in(file, ("profiles", name)),
                f"`[profiles.{name}]` belongs in {target}.",
            )
            return


def _home(setup: Setup) -> Iterator[Finding]:
    if setup.home_problem:
        named = setup.home_problem.startswith("CODEX_HOME")
        place = Place(name="CODEX_HOME") if named else Place(setup.files.user_path)
        yield Finding("codex-home", place, setup.home_problem)


def _missing_profile(setup: Setup) -> Iterator[Finding]:
    if not setup.profile or setup.home_problem or setup.get(("profiles", setup.profile)) is not None:
        return  # What `_legacy_profile` says is enough.
    if setup.files.of("profile") is None:
        path = setup.files.user_path.with_name(f"{setup.profile}.config.toml")
        yield Finding("profile-missing", Place(path), f"{path} is not there.")


def _mixed_profile(setup: Setup) -> Iterator[Finding]:
    """Traces go where the profile says, and logs where config.toml says, or the other way round."""
    profile = setup.files.of("profile")
    for mine, other in (("trace_exporter", "exporter"), ("exporter", "trace_exporter")):
        inherited = setup.exporter(other)
        file = setup.file_of(("otel", other))
        if profile is None or inherited is None or file is None or file.kind != "user":
            continue
        if value_at(profile.data, ("otel", mine)) is None:
            continue
        own = setup.exporter(mine)
        if own is None or _host(own.endpoint) != _host(inherited.endpoint):
            signal = {"exporter": "Logs", "trace_exporter": "Traces"}[other]
            where = _host(inherited.endpoint) or inherited.kind
            yield Finding(
                "profile-mixed",
                place_in(profile, ("otel", mine)),
                f"{signal} go to {where}, as {file.path} says.",
                f'{other} = "none"',
                edit(methodcaller("set", ("otel", other), "none")),
            )


def _two_exporters_merged(setup: Setup) -> Iterator[Finding]:
    """One exporter in config.toml and another one in the profile are two for Codex."""
    for key in SIGNALS:
        path = ("otel", key)
        kinds = setup.get(path)
        if not isinstance(kinds, Mapping) or len(kinds) < 2:
            continue
        holders = [(file, value_at(file.data, path)) for file in setup.layers]
        holders = [(file, value) for file, value in holders if isinstance(value, Mapping) and value]
        if all(len(value) == 1 for _, value in holders):
            where = " and ".join(f"`{next(iter(value))}` in {file.path}" for file, value in holders)
            yield Finding("two-exporters", place_in(holders[-1][0], path), f"There are {where}.")


def _host(endpoint: str) -> str:
    parts = split_address(endpoint)
    return parts.netloc.rpartition("@")[2] if parts else ""


def _unread_files(setup: Setup) -> Iterator[Finding]:
    mistakes: dict[Kind, str] = {"project": "project-file", "misplaced": "home-managed-file"}
    for file in setup.files.files:
        if file.kind in mistakes and "otel" in file.data:
            yield Finding(mistakes[file.kind], place_in(file, ("otel",)))
    required = setup.files.of("requirements")
    since, version = versions.REQUIREMENTS_ENFORCED, setup.version
    if required is not None and "otel" in required.data and version is not None and version < since:
        told = f"Codex reads `[otel]` of {required.path} from {since} on; this is Codex {version}."
        yield Finding("too-new", place_in(required, ("otel",)), told)


def _overridden(setup: Setup) -> Iterator[Finding]:
    own = [layer for layer in setup.layers if layer.kind not in _OVERRULING]
    for kind in _OVERRULING:
        above = next((layer for layer in setup.layers if layer.kind == kind), None)
        if above is None:
            continue
        for path in _leaves(above.data.get("otel"), ("otel",)):
            for depth in range(2, len(path) + 1):
                lost = [
                    layer
                    for layer in own
                    if _differs(value_at(layer.data, path[:depth]), value_at(above.data, path[:depth]))
                ]
                if lost:
                    where = place_in(lost[-1], path[:depth])
                    yield Finding(
                        "overridden", where, f"{above.path} says otherwise of `{dotted(path[:depth])}`."
                    )
                    break


def _leaves(value: Any, path: Names) -> Iterator[Names]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    elif value is not None:
        yield path


def _differs(mine: Any, theirs: Any) -> bool:
    return (
        mine is not None
        and mine != theirs
        and not (isinstance(mine, Mapping) and isinstance(theirs, Mapping))
    )


def _wrong_type(file: ConfigFile, path: Names, wanted: str) -> Finding:
    place = place_in(file, path)
    assignment = file.document.find(path) if file.document else None
    if file.document and assignment is not None:
        place = Place(file.path, *file.document.place(assignment.value.start))
    return Finding("wrong-type", place, f"`{dotted(path)}` is {wanted}.")


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "table"
    words = {bool: "boolean", int: "number", float: "number", list: "list"}
    return words.get(type(value), "date")


def _did_you_mean(key: str, known: tuple[str, ...]) -> str:
    near = _nearest(key, known)
    return f" Did you mean `{near}`?" if near else ""


def _nearest(key: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    return near[0] if near else ""


def _gather(draft: Draft, path: Names, kind: str, below: Names, stray: list[str]) -> None:
    """Put the ``stray`` keys of the table ``below`` into the exporter's own, where they belong."""
    found = {key: draft.get((*below, key)) for key in stray}
    own = draft.get((*path, kind))
    table = {**found, **(own if isinstance(own, dict) else {})}
    if kind == "otlp-http":
        table.setdefault("protocol", "binary")
    for key in stray:
        draft.remove((*below, key))
    draft.remove(path)
    draft.set_table((*path, kind), table)


def _pairs(headers: Any) -> Iterator[tuple[str, str]]:
    """Read headers that are one string, or a list of strings, as ``name=value`` or ``name: value``."""
    for text in headers if isinstance(headers, list) else [headers]:
        if not isinstance(text, str):
            return
        for part in text.split(","):
            match = re.fullmatch(r"\s*([A-Za-z0-9_-]+)\s*[=:]\s*(.+?)\s*", part)
            if match:
                yield match[1], match[2]


def _dotted_names(value: Any) -> Iterator[tuple[str, ...]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from ((name, *rest) for rest in _dotted_names(inner))
        elif isinstance(inner, str):
            yield (name,)


def _quote_names(draft: Draft, path: Names) -> None:
    """Put each dotted key below ``path`` into quotes: one name with dots in it."""
    values = {names: value_at(draft.get(path), names) for names in _dotted_names(draft.get(path))}
    draft.remove(path)
    for names, value in values.items():
        draft.set((*path[:-1], ".".join((path[-1], *names))), value)


def _other_table(file: ConfigFile) -> Iterator[Finding]:
    """Find the settings of ``[otel]`` under another name."""
    for name, value in file.data.items():
        if name == "otel" or not isinstance(value, Mapping):
            continue
        if name in SIGNALS and any(kind in _EXPORTER_KEYS for kind in value):
            yield Finding(
                "other-table",
                place_in(file, (name,)),
                f"`{name}` is not in `[otel]`.",
                f"[otel.{name}.…]",
                _sinking(name) if name not in file.data.get("otel", {}) else None,
            )
        inner = next(
            (key for key, table in value.items() if key == "otel" and isinstance(table, Mapping)), ""
        )
        if inner and any(key in value[inner] for key in SIGNALS):
            yield Finding(
                "other-table",
                place_in(file, (name, inner)),
                f"`[{name}.{inner}]` is ignored.",
                "[otel]",
                _lifting(name) if "otel" not in file.data else None,
            )
        elif name.lower() in _TABLE_NAMES and any(key in value for key in SIGNALS):
            yield Finding(
                "other-table",
                place_in(file, (name,)),
                f"`[{name}]` is ignored.",
                "[otel]",
                renaming((name,), "otel") if "otel" not in file.data else None,
            )


def _sinking(name: str) -> Repairing:
    return edit(lambda draft: draft.sink(name, "otel"))


def _lifting(name: str) -> Repairing:
    return edit(lambda draft: draft.lift(name))


def _swallowed(file: ConfigFile) -> Iterator[Finding]:
    """Find settings below the header of a table that was pasted above them."""
    tables: list[Names] = [("shell_environment_policy",), ("otel", "span_attributes")]
    for key in SIGNALS:
        tables += [("otel", key, "otlp-http"), ("otel", key, "otlp-http", "headers")]
    for table in tables:
        value = value_at(file.data, table)
        for name in value if isinstance(value, Mapping) else ():
            if name in _SETTINGS:
                yield _moved_up(file, (*table, name))


def _moved_up(file: ConfigFile, path: Names) -> Finding:
    name = path[-1]
    return Finding(
        "swallowed-setting",
        place_in(file, path),
        f"`{name}` is below `[{key_literal(path[:-1])}]`, so it is a part of that table.",
        f"move `{name}` above the first table of the file",
        edit(lambda draft: _move_up(draft, path)) if name not in file.data else None,
    )


def _move_up(draft: Draft, path: Names) -> None:
    value = draft.get(path)
    draft.remove(path)
    draft.set(path[-1:], value)
