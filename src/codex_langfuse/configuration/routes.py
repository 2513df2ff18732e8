"""What ``[otel]`` holds for each route by which Codex's telemetry gets to Langfuse."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from codex_langfuse.configuration.route import Route
from codex_langfuse.keys.credentials import BaseUrl, is_this_machine
from codex_langfuse.keys.labels import check_environment, check_tag, check_user
from codex_langfuse.page_addresses import page_url

#: What to know where Codex sends to a Collector.
ABOUT_COLLECTORS = (
    "this goes with shape.yaml. With carry.yaml, run `codex-langfuse config relay`, and let the relay send "
    "to the Collector: `codex-langfuse relay --forward URL/v1/traces`",
    "with senders.yaml, Codex has to show what is in the file senders: "
    + page_url("deploy/collector", "senders"),
)

#: Where ``codex-langfuse relay`` listens unless told otherwise.
RELAY = "http://127.0.0.1:4318"


@dataclass(frozen=True)
class OtelSettings:
    """What a person wants of Codex's telemetry.

    ``base`` is the address without a path of its own: of Langfuse for ``direct``, else of the relay or
    Collector. ``environment``, ``user`` and ``tags`` go onto every span. ``headers_helper`` is the command by
    which Codex gets the key on the route ``direct``; without one it takes it from its environment.
    """

    route: Route
    base: BaseUrl | None = None
    environment: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()
    headers_helper: str | None = None

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for what Langfuse would not take as it is meant."""
        if self.environment is not None:
            check_environment(self.environment)
        if self.user is not None:
            check_user(self.user)
        if any("sk-lf-" in text for text in (self.environment, self.user, *self.tags) if text):
            raise ValueError("that is a secret key; it is never written into a configuration")
        for tag in self.tags:
            check_tag(tag)

    @property
    def traces_endpoint(self) -> str:
        """The full address for ``trace_exporter``."""
        assert self.base is not None
        return self.base.traces_endpoint if self.route is Route.DIRECT else f"{self.base.url}/v1/traces"

    @property
    def logs_endpoint(self) -> str:
        """The full address for ``exporter``; Langfuse itself has none."""
        assert self.base is not None
        return f"{self.base.url}/v1/logs"


def read_endpoint(text: str | None) -> BaseUrl:
    """Read the address of a relay or Collector, by default the relay's, without paths of signals.

    Raises:
        ValueError: it is no address, it is Langfuse's, or it has a user name or a password in it.
    """
    url = re.sub(r"(/+v1/(traces|logs|metrics))*/*$", "", (text or RELAY).strip())
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{text!r} is not an address with http:// or https://, such as {RELAY}")
    if "@" in parts.netloc:
        raise ValueError(
            "the address has a user name or a password in it; no secret is written into the file"
        )
    if parts.query or parts.fragment:
        raise ValueError("give the address without the ? or # and what follows")
    if parts.hostname.endswith(".langfuse.com") or "/api/public/otel" in parts.path:
        raise ValueError("this is Langfuse itself, which accepts no logs: use `codex-langfuse config direct`")
    notes = []
    if parts.port == 4317:
        notes.append(
            "port 4317 is for gRPC by convention; Codex sends HTTP, which a Collector accepts at 4318"
        )
    if parts.scheme == "http" and not is_this_machine(parts.hostname):
        notes.append(
            f"what goes to {url} is not encrypted: give the relay or Collector TLS, and use https://"
        )
    return BaseUrl(url, tuple(notes))
