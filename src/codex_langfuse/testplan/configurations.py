"""The configurations that the cases give to Codex: what ``codex-langfuse config`` writes, and a name on it.

All that the plan sends carries that name, so that it can be told from everything else in a Langfuse.
"""

from collections.abc import Mapping

from codex_langfuse.configuration.amend import SPAN_ATTRIBUTES, TRACE_EXPORTER, amend
from codex_langfuse.configuration.edit import Draft
from codex_langfuse.configuration.route import Route
from codex_langfuse.configuration.routes import OtelSettings
from codex_langfuse.keys.credentials import REGIONS, BaseUrl

#: What everything is filed under in Langfuse: the environment (and a second one), tag, user.
ENVIRONMENT = "codex-langfuse-test-plan"
SECOND_ENVIRONMENT = "codex-langfuse-test-plan-2"
TAG = "codex-langfuse-test-plan"
USER = "codex-langfuse test plan"

CLOUD_EU, CLOUD_US = (region.url for region in REGIONS[:2])
DOCKER = "http://localhost:3000"
KUBERNETES = "https://langfuse.example.com"
PRIVATE = "https://langfuse.internal.example.com"
#: Codex is told the relay's usual address, by a name that is not reached past the wire.
RELAY = "http://localhost:4318"

#: How older guides have it: logs, to a path that Langfuse does not have.
OLDER = """\
# Mine, since last year.
model_verbosity = "low" # stays

[otel]
environment = "dev"
exporter = { otlp-http = { endpoint = "%s/api/public/otel/v1/logs", protocol = "binary" } }

[history]
persistence = "none" # stays, too
"""

#: The form most often copied, which no Codex loads.
STRING_AND_TABLE = """\
[otel]
trace_exporter = "otlp-http"

[otel.trace_exporter."otlp-http"]
endpoint = "https://cloud.langfuse.com/api/public/otel/v1/traces"
protocol = "binary"
"""

#: A misspelt key, which Codex ignores unless told to be strict.
MISSPELT = """\
[otel]
metrics_exporter = "none"
traces_exporter = "none"
"""


def direct(
    address: str,
    *,
    session: str | None = None,
    environment: str = ENVIRONMENT,
    tls: Mapping[str, str] | None = None,
) -> str:
    """Return the configuration of the direct route to the Langfuse at ``address``.

    ``session`` is the session of every span; ``tls`` the exporter's TLS settings, names to paths.
    """
    settings = OtelSettings(Route.DIRECT, BaseUrl(address), environment, USER, (TAG,))
    draft = Draft(amend("", settings).text)
    if session:
        draft.set((*SPAN_ATTRIBUTES, "langfuse.session.id"), session)
    if tls:
        draft.set((*TRACE_EXPORTER, "otlp-http", "tls"), dict(tls))
    return draft.text


def relayed(address: str = RELAY, *, logging_content: bool = False) -> str:
    """Return the configuration for a relay at ``address``; with ``logging_content`` Codex logs all it can."""
    draft = Draft(amend("", OtelSettings(Route.RELAY, BaseUrl(address))).text)
    if logging_content:
        draft.set(("otel", "log_user_prompt"), True)
        draft.set(("otel", "log_agent_responses"), True)
    return draft.text


def of_every_scenario(mutual: Mapping[str, str]) -> dict[str, str]:
    """Return a configuration for each deployment scenario, by a name.

    ``mutual`` are the TLS settings of the one with mutual TLS; Codex reads the files that they name.
    """
    return {
        "cloud EU": direct(CLOUD_EU),
        "cloud US": direct(CLOUD_US),
        "Docker": direct(DOCKER),
        "Kubernetes": direct(KUBERNETES),
        "mutual TLS": direct(PRIVATE, tls=mutual),
        "relay": relayed(),
    }
