"""Configurations as people write them: right ones, the catalogue's, forms in circulation, and mutations."""

import random
import re
from collections.abc import Iterator

from error_catalogue import catalogue

#: In place of the address of the server that the configuration is to reach.
SERVER = "http://127.0.0.1:3000"
ENDPOINT = f"{SERVER}/api/public/otel/v1/traces"
KEY = "Basic cGstbGYtYWFhYTpzay1sZi1iYmJi"

_LANGFUSE = re.compile(r"https?://(us\.|jp\.|hipaa\.)?cloud\.langfuse\.com|http://localhost:3000")
_TOP = '[otel]\nmetrics_exporter = "none"\n'
_TABLE = f'[otel.trace_exporter.otlp-http]\nendpoint = "{ENDPOINT}"\nprotocol = "binary"\n'

GOOD = {
    "tables": f'{_TOP}\n{_TABLE}headers = {{ Authorization = "{KEY}" }}\n',
    "a table of headers": f"{_TOP}\n{_TABLE}\n[otel.trace_exporter.otlp-http.headers]\n"
    f'Authorization = "{KEY}"\n',
    "inline": f'{_TOP}trace_exporter = {{ otlp-http = {{ endpoint = "{ENDPOINT}", protocol = "binary", '
    f'headers = {{ "Authorization" = "{KEY}" }} }} }}\n',
    "inline over lines": f'{_TOP}trace_exporter = {{ otlp-http = {{\n  endpoint = "{ENDPOINT}",\n'
    f'  protocol = "binary",\n  headers = {{\n    Authorization = "{KEY}",\n'
    '    x-langfuse-ingestion-version = "4"\n  }\n}}\n',
    "a value on the next line": f"{_TOP}trace_exporter = {{ otlp-http = {{ endpoint =\n"
    f' "{ENDPOINT}", protocol = "binary", headers = {{ Authorization = "{KEY}" }} }} }}\n',
    "dotted": f'otel.metrics_exporter = "none"\notel.trace_exporter.otlp-http.endpoint = "{ENDPOINT}"\n'
    'otel.trace_exporter.otlp-http.protocol = "binary"\n'
    f'otel.trace_exporter.otlp-http.headers.Authorization = "{KEY}"\n',
    "dotted in a table": f'{_TOP}exporter = "none"\ntrace_exporter.otlp-http.endpoint = "{ENDPOINT}"\n'
    f'trace_exporter.otlp-http.protocol = "json"\ntrace_exporter.otlp-http.headers.Authorization = "{KEY}"\n',
    "quoted keys": f'["otel"]\n"metrics_exporter" = \'none\'\n\n[otel."trace_exporter".\'otlp-http\']\n'
    f'endpoint = \'{ENDPOINT}\'\nprotocol = """binary"""\nheaders = {{ authorization = \'{KEY}\' }}\n',
    "a value with blanks at the end": f'{_TOP}\n{_TABLE}headers = {{ Authorization = "{KEY}  " }}\n',
    "attributes": f'{_TOP}environment = "dev"\n\n[otel.span_attributes]\n"langfuse.environment" = "dev"\n\n'
    f'{_TABLE}headers = {{ Authorization = "{KEY}" }}\n\n[projects."/home/ada"]\ntrust_level = "trusted"\n',
}

_GOOD = GOOD["tables"]
#: Settings outside ``[otel]``, with which Codex loads nothing, or all the same.
OTHER_SETTINGS = {
    "approval policy": f'approval_policy = "auto"\n{_GOOD}',
    "sandbox mode": f'sandbox_mode = "none"\n{_GOOD}',
    "a number for a name": f"model = 5\n{_GOOD}",
    "an old profile": f'profile = "work"\n{_GOOD}',
    "no such provider": f'model_provider = "deepseek"\n{_GOOD}',
    "a provider": f'{_GOOD}\n[model_providers.deepseek]\nname = "DeepSeek"\n',
    "a provider's old protocol": f'{_GOOD}\n[model_providers.a]\nname = "a"\nwire_api = "chat"\n',
    "a built-in provider": f'{_GOOD}\n[model_providers.openai]\nname = "a"\n',
    "a feature": f'{_GOOD}\n[features]\nplugins = "off"\n',
    "a project": f'{_GOOD}\n[projects."/home/ada"]\ntrust_level = "yes"\n',
    "a trusted project": f"{_GOOD}\n[projects.'C:\\Users\\ada']\ntrust_level = \"trusted\"\n",
    "a server without command": f"{_GOOD}\n[mcp_servers.docs]\n",
    "what commands see": f'{_GOOD}\n[shell_environment_policy]\nexclude = "OTEL_*"\n',
    "permissions": f'{_GOOD}\n[permissions.work.filesystem]\n"/home/ada" = "deny"\n',
}

_CHANGES = (
    ("otlp-http", "otlp_http"),
    ("otlp-http", "OTLP-HTTP"),
    ("otlp-http", "otlp-grpc"),
    ("otlp-http", "http"),
    ("endpoint", "url"),
    ("endpoint", "Endpoint"),
    ("endpoint", "endpoints"),
    ("protocol", "Protocol"),
    ("headers", "header"),
    ("binary", "http/protobuf"),
    ("binary", "grpc"),
    ("binary", "Binary"),
    ('"binary"', "binary"),
    ('"binary"', "1"),
    ("trace_exporter", "traces_exporter"),
    ("trace_exporter", "exporter"),
    ("trace_exporter", "trace-exporter"),
    ("metrics_exporter", "metric_exporter"),
    ("[otel]", "[Otel]"),
    ("[otel]", "[opentelemetry]"),
    ("[otel]", "[otel]\n[otel]"),
    ("[otel", "[telemetry.otel"),
    ("[otel]", '[otel]\ntrace_exporter = "otlp-http"'),
    ("[otel]", "[otel]\nenabled = true"),
    ("[otel]", '[otel]\nservice_name = "codex"'),
    ("[otel]", '[otel]\nlog_user_prompt = "false"'),
    ("[otel]", "[otel]\nenvironment = 1"),
    ("[otel]", "[otel]\nlog_user_prompt = False"),
    ("[otel]", '[otel]\nmodel = "gpt-5"'),
    ("[otel]", '[otel.resource_attributes]\nteam = "a"\n[otel]'),
    ("[otel]", '[otel.span_attributes]\nlangfuse.user.id = "ada"\n\n[otel]'),
    ("[otel]", '[otel.span_attributes]\n"langfuse.trace.tags" = ["a"]\n\n[otel]'),
    ("[otel]", "[otel.tool_result]\nmax_bytes = -1\n\n[otel]"),
    ("[otel]", "[otel.tool_result]\nbytes = 9\n\n[otel]"),
    ("[otel]", "[otel.span_attributes]\nreleased = 2026-11-28\n\n[otel]"),
    ("[otel]", '[profiles.work.otel]\nenvironment = "a"\n\n[otel]'),
    ("[otel.trace_exporter.otlp-http]", "[otel.trace_exporter.none]"),
    ("[otel.trace_exporter.otlp-http]", "[otel.trace_exporter.none]\n[otel.x]"),
    ("/api/public/otel/v1/traces", ""),
    ("/api/public/otel/v1/traces", "/"),
    ("/api/public/otel/v1/traces", "/api/public/otel"),
    ("/api/public/otel/v1/traces", "/api/public/otel/v1/traces/"),
    ("/api/public/otel/v1/traces", "/v1/traces"),
    ("/api/public/otel/v1/traces", "/api/public/ingestion"),
    ("http://", ""),
    ("http://", "htp://"),
    ("http://", " http://"),
    ("/v1/traces", "/v1/traces\\n"),
    (KEY, "Basic ${LANGFUSE_AUTH}"),
    (KEY, "$LANGFUSE_AUTH"),
    (KEY, KEY.removeprefix("Basic ")),
    (KEY, KEY.replace("Basic ", "Bearer ")),
    (KEY, KEY.replace("Basic ", "Basic Basic ")),
    (KEY, "Basic YOUR_BASE64_AUTH"),
    (KEY, "Basic pk-lf-aaaa:sk-lf-bbbb"),
    (f'"{KEY}"', "4"),
    (f'"{KEY}"', "true"),
    ("Authorization", "Authorisation"),
    ("Authorization", "X-Api-Key"),
    ("{ Authorization =", '{ "Authorization:" ='),
    (f'{{ Authorization = "{KEY}" }}', f'"Authorization={KEY}"'),
    (f'{{ Authorization = "{KEY}" }}', f'["Authorization={KEY}"]'),
    (f'{{ Authorization = "{KEY}" }}', "{}"),
    (f'headers = {{ Authorization = "{KEY}" }}\n', ""),
    ('protocol = "binary"\n', ""),
    (f'endpoint = "{ENDPOINT}"\n', ""),
    (f'"{ENDPOINT}"', '""'),
    (f'"{ENDPOINT}"', "1"),
    (f'"{ENDPOINT}"', f"“{ENDPOINT}”"),
    (f'"{ENDPOINT}"', f'"{ENDPOINT}'),
    ("[otel.trace_exporter.otlp-http]", "[otel.trace_exporter]"),
    ("[otel.trace_exporter.otlp-http]", "[otel.trace_exporter.otlp-http"),
    ("[otel.trace_exporter.otlp-http]", "[[otel.trace_exporter.otlp-http]]"),
    ("[otel.trace_exporter.otlp-http]", "[trace_exporter.otlp-http]"),
    ("protocol =", "tls = true\nprotocol ="),
    ("protocol =", 'tls = { ca_certificate = "ca.pem" }\nprotocol ='),
    ("protocol =", 'compression = "gzip"\nprotocol ='),
    ("protocol =", "timeout = 5\nprotocol ="),
    ("protocol =", 'endpoint = "http://x/"\nprotocol ='),
    (", ", " "),
    ("}", ""),
    ("\n\n", '\n\n[shell_environment_policy]\ninherit = "all"\n\n'),
    ("\n\n", '\n\n[shell_environment_policy]\nmodel = "gpt-5"\n\n'),
    ("=", ":"),
    ("[", "("),
)


def configurations(mutations: int = 205) -> dict[str, str]:
    """Return them by what they are."""
    return {
        **{f"good: {name}": text for name, text in GOOD.items()},
        **{f"other: {name}": text for name, text in OTHER_SETTINGS.items()},
        **dict(_catalogue()),
        **dict(_mutated(mutations)),
    }


def _catalogue() -> Iterator[tuple[str, str]]:
    for mistake in catalogue().values():
        example = mistake.example
        if example.files or example.environment or example.profile or example.version:
            continue
        text = re.sub(
            r"https?://(us\.|jp\.|hipaa\.)?cloud\.langfuse\.com|http://localhost:3000", SERVER, example.config
        )
        yield f"catalogue: {mistake.id}", text.replace("cGstbGYt…", KEY.removeprefix("Basic "))


def _mutated(count: int) -> Iterator[tuple[str, str]]:
    """Every change at least once; then two at a time, by chance, the same each time."""
    chance = random.Random(20261128)
    single = [
        (f"{name}: {old!r} → {new!r}", text.replace(old, new, 1))
        for name, text in GOOD.items()
        for old, new in _CHANGES
        if old in text
    ]
    chance.shuffle(single)
    seen: set[str] = set()
    first = []
    for name, text in single:  # each change at least once
        change = name.partition(": ")[2]
        if change not in seen:
            seen.add(change)
            first.append((name, text))
    yield from first
    for name, text in [pair for pair in single if pair not in first][: count - len(first)]:
        yield name, text
    for number in range(count // 5):
        name, text = chance.choice(single)
        old, new = chance.choice(_CHANGES)
        if old in text:
            yield f"{number}: {name}, {old!r} → {new!r}", text.replace(old, new, 1)
