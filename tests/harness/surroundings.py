"""What surrounds Codex in a test: a Langfuse, a model, and the rest of the internet."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from codex_langfuse.codex.isolated import CodexRun, IsolatedCodex
from codex_langfuse.codex.scripted_model import Scenario, ScriptedModel, running_scripted_model
from codex_langfuse.exports import Span, spans_in
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.mock.store import SeenRequest
from codex_langfuse.testplan.wire import Exchange
from harness.proxy import LANGFUSE_HOSTS, TlsProxy, tls_proxy

# Where Codex sends its metrics by default. It answers as if it took them.
METRICS_HOST = "ab.chatgpt.com"


@dataclass(frozen=True)
class Outcome:
    """What a turn of Codex left behind: at Langfuse, and at every host that the proxy was asked for."""

    run: CodexRun
    langfuse: Sequence[SeenRequest]
    observations: Sequence[Mapping[str, Any]]
    proxied: Sequence[Exchange]

    @property
    def answers(self) -> set[tuple[str, int | None]]:
        """At which path Langfuse was asked, and with which status it answered."""
        return {(request.path, request.status) for request in self.langfuse}

    def header(self, name: str) -> set[str | None]:
        """Every value that Langfuse was sent of the header ``name``; None for a request without it."""
        return {dict(request.headers).get(name) for request in self.langfuse}

    def at(self, host: str) -> list[Exchange]:
        """The requests that went to ``host`` through the proxy."""
        return [request for request in self.proxied if request.host == host]

    @cached_property
    def spans(self) -> list[Span]:
        """Every span sent, whatever Langfuse answered."""
        return spans_in(request.body for request in self.langfuse)

    def spans_named(self, name: str) -> list[Span]:
        """The spans called ``name``."""
        return [span for span in self.spans if span.name == name]


@dataclass(frozen=True)
class Surroundings:
    """The mock Langfuse, the scripted model and the proxy, shared by all tests and emptied between them."""

    langfuse: RunningMock
    model: ScriptedModel
    proxy: TlsProxy

    def clear(self) -> None:
        """Forget what was sent, and let everything work again."""
        self.langfuse.store.clear()
        self.langfuse.faults.clear()
        self.model.play("plain turn")
        self.proxy.exchanges.clear()
        self.proxy.connected_hosts.clear()

    def codex(self, folder: Path, binary: Path | None = None) -> IsolatedCodex:
        """A Codex in ``folder`` that sees these surroundings and nothing else; the pinned one by default."""
        return IsolatedCodex(
            folder, model_url=self.model.base_url, environment=self.proxy.environment, binary=binary
        )

    def prepare(
        self,
        codex: IsolatedCodex,
        config: str,
        *,
        scenario: str | Scenario = "plain turn",
        fault: Fault | None = None,
    ) -> None:
        """Make all ready for a run of Codex under ``config``."""
        self.clear()
        self.model.play(scenario)
        if fault is not None:
            self.langfuse.faults.add(fault)
        codex.write_config(config)

    def turn(
        self,
        codex: IsolatedCodex,
        config: str,
        *arguments: str,
        scenario: str | Scenario = "plain turn",
        environment: Mapping[str, str] | None = None,
        fault: Fault | None = None,
        prompt: str = "Say hello.",
    ) -> Outcome:
        """Run ``codex exec`` once under ``config`` and collect what left it."""
        self.prepare(codex, config, scenario=scenario, fault=fault)
        run = codex.run_exec(prompt, *arguments, environment=environment)
        store = self.langfuse.store
        return Outcome(run, store.requests, store.observations, list(self.proxy.exchanges))


@contextmanager
def running_surroundings() -> Iterator[Surroundings]:
    """Run all three; every host of Langfuse Cloud leads to the mock."""
    with running_mock() as langfuse, running_scripted_model() as model:
        routes = dict.fromkeys(LANGFUSE_HOSTS, langfuse.url)
        with tls_proxy(routes, statuses={METRICS_HOST: 202}) as proxy:
            yield Surroundings(langfuse, model, proxy)
