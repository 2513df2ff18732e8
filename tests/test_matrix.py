"""The law of the relay in every combination in which the pinned Codex is run, with the real one.

Model × transport × signals × speed of the stream: all of it by ``codex exec``; by the terminal interface with
its daemon and by an app-server a set in which each pair of values is. The law is in ``harness.combinations``.
"""

from itertools import combinations, product
from pathlib import Path

import pytest

import relayed_recordings as relayed
from codex_langfuse.codex.scripted_model import Scenario, ScriptedModel
from harness.combinations import (
    MODELS,
    PAUSES,
    PROVIDERS,
    SIGNALS,
    STEPS,
    batches,
    charged,
    configuration,
    generations,
    turns_of,
)
from harness.interfaces import by_app_server, by_exec, by_terminal
from harness.surroundings import Surroundings

INTERFACES = {"exec": by_exec, "terminal": by_terminal, "app-server": by_app_server}

EVERY = list(product(MODELS, PROVIDERS, SIGNALS, PAUSES))
#: Each pair of values of two of the five, with few runs; `test_every_pair_is_run` shows it.
COVERING = [
    ("terminal", "default", "websocket", "both", "fast"),
    ("terminal", "default", "http", "logs", "slow"),
    ("terminal", "gpt-5.5", "websocket", "logs", "fast"),
    ("terminal", "gpt-5.5", "http", "traces", "slow"),
    ("terminal", "unknown", "websocket", "traces", "slow"),
    ("terminal", "unknown", "http", "both", "fast"),
    ("app-server", "default", "websocket", "traces", "fast"),
    ("app-server", "default", "http", "both", "slow"),
    ("app-server", "gpt-5.5", "websocket", "both", "slow"),
    ("app-server", "gpt-5.5", "http", "logs", "fast"),
    ("app-server", "unknown", "websocket", "logs", "slow"),
    ("app-server", "unknown", "http", "traces", "fast"),
]


def test_every_pair_is_run() -> None:
    values = [("terminal", "app-server"), MODELS, PROVIDERS, SIGNALS, PAUSES]
    for one, other in combinations(range(5), 2):
        pairs = {(row[one], row[other]) for row in COVERING}
        assert pairs == set(product(values[one], values[other]))


@pytest.mark.codex
@pytest.mark.parametrize(
    ("interface", "model", "provider", "signals", "pause"),
    [*(("exec", *values) for values in EVERY), *COVERING],
)
def test_the_tokens_of_each_turn_are_those_charged(
    surroundings: Surroundings,
    tmp_path: Path,
    interface: str,
    model: str,
    provider: str,
    signals: str,
    pause: str,
) -> None:
    surroundings.clear()
    scripted = surroundings.model
    scripted.play(Scenario(STEPS, pause=PAUSES[pause]))
    codex = surroundings.codex(tmp_path)
    codex.write_config(configuration(codex, scripted.base_url, model, provider, signals))
    INTERFACES[interface](codex, lambda: _all_are_done(scripted))
    assert {charge.transport for charge in scripted.charges} == {provider}
    sent = relayed.relay(batches(surroundings.proxy.exchanges))
    assert generations(sent) == charged(scripted)
    if interface != "terminal":  # where another conversation, without tools, finds a title
        assert [each["name"] for each in sent.of("TOOL")].count("exec_command") == 2


def _all_are_done(model: ScriptedModel) -> bool:
    """Whether both conversations have had their answers: the user's, and the one that finds a title."""
    turns = turns_of(model)
    return len(turns) == 2 and all(len(answers) == len(STEPS) for answers in turns.values())
