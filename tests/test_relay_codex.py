"""The real Codex through the relay to a Langfuse."""

import json
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from codex_langfuse.codex.isolated import CodexRun, IsolatedCodex
from codex_langfuse.codex.scripted_model import HTTP_ONLY, SCENARIOS, running_scripted_model
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.policy import Policy
from codex_langfuse.relay.server import running_relay
from harness.running_relay import settings_for, wait_until

pytestmark = pytest.mark.codex

CONFIG = """\
[otel]
metrics_exporter = "none"
exporter = {{ otlp-http = {{ endpoint = "{url}/v1/logs", protocol = "{protocol}" }} }}
trace_exporter = {{ otlp-http = {{ endpoint = "{url}/v1/traces", protocol = "{protocol}" }} }}
"""


#: As the page says it.
FAILURES_ARRIVE = "export OTEL_BLRP_SCHEDULE_DELAY=1"


@dataclass(frozen=True)
class Stage:
    """A Codex with a model, and the Langfuse its turns are to arrive at."""

    codex: IsolatedCodex
    langfuse: RunningMock

    def turn(self, url: str, protocol: str = "binary") -> CodexRun:
        """Run a turn that sends to the relay at ``url``."""
        self.codex.write_config(CONFIG.format(url=url, protocol=protocol))
        run = self.codex.run_exec()
        assert run.returncode == 0, run.stderr
        return run


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with running_mock() as langfuse, running_scripted_model() as model:
        codex = IsolatedCodex(tmp_path_factory.mktemp("codex"), model_url=model.base_url)
        yield Stage(codex, langfuse)


@pytest.mark.parametrize("protocol", ["binary", "json"])
def test_one_clean_trace_a_turn(stage: Stage, tmp_path: Path, protocol: str) -> None:
    stage.langfuse.store.clear()
    settings = settings_for(stage.langfuse, tmp_path / "state")
    with running_relay(settings, Assembly(Policy())) as url:
        run = stage.turn(url, protocol)
    (observations,) = stage.langfuse.store.traces.values()
    assert len(observations) <= 10
    # The id by which `verify --session` asks.
    printed = re.search(r"^session id: (\S+)$", run.stderr, re.M)[1]
    assert {each["sessionId"] for each in observations} == {printed}
    (generation,) = [each for each in observations if each["type"] == "GENERATION"]
    assert generation["usageDetails"]["total"] > 0
    assert "Say hello" not in json.dumps(observations)


def test_a_langfuse_that_hangs_does_not_keep_codex(stage: Stage, tmp_path: Path) -> None:
    """In turns with one that answers: whatever else the machine does affects both."""
    seconds: dict[str, list[float]] = {"answers": [], "hangs": []}
    with running_mock(faults=[Fault(hang=True)]) as hanging:
        there = {"answers": stage.langfuse, "hangs": hanging}
        settings = {
            name: settings_for(langfuse, tmp_path / name, seconds_to_finish=0.1)
            for name, langfuse in there.items()
        }
        with (
            running_relay(settings["answers"], Assembly(Policy())) as answers,
            running_relay(settings["hangs"], Assembly(Policy())) as hangs,
        ):
            for _ in range(3):
                seconds["answers"].append(stage.turn(answers).seconds)
                seconds["hangs"].append(stage.turn(hangs).seconds)
        assert any(request.status is None for request in hanging.store.requests)
    # Pointed straight at it, Codex would wait for 20 seconds, some 50 times as long as its turn.
    assert statistics.median(seconds["hangs"]) < 5 * statistics.median(seconds["answers"])


WITHOUT_A_KEY = """\
model_provider = "mine"

{config}
[model_providers.mine]
name = "Mine"
base_url = "{model}"
env_key = "MINE_API_KEY"
wire_api = "responses"
"""


@pytest.mark.parametrize(
    ("scenario", "transport", "level", "cause"),
    [
        *((status, transport, "ERROR", status) for status in ("400", "429") for transport in ("HTTP", "WS")),
        ("no key", "HTTP", "WARNING", "the process ended before the model answered"),
    ],
)
def test_a_run_that_fails_arrives_with_its_cause(
    tmp_path: Path, scenario: str, transport: str, level: str, cause: str
) -> None:
    """With the setting of `guide/relay`: without it a `codex exec` that fails sends nothing."""
    handshake = HTTP_ONLY if transport == "HTTP" else None
    failing = replace(SCENARIOS["400" if scenario == "no key" else scenario], handshake=handshake)
    with running_mock() as langfuse, running_scripted_model(failing) as model:
        codex = IsolatedCodex(tmp_path / "codex", model_url=model.base_url)
        with running_relay(settings_for(langfuse, tmp_path / "state"), Assembly(Policy())) as url:
            config = CONFIG.format(url=url, protocol="binary")
            if scenario == "no key":
                config = WITHOUT_A_KEY.format(config=config, model=model.base_url)
            codex.write_config(config)
            name, value = FAILURES_ARRIVE.removeprefix("export ").split("=")
            run = codex.run_exec(environment={name: value})
            assert run.returncode != 0
            wait_until(lambda: langfuse.store.traces, seconds=15)
    (observations,) = langfuse.store.traces.values()
    (agent,) = [each for each in observations if each["type"] == "AGENT"]
    assert agent["level"] == level
    assert cause in agent["statusMessage"]
