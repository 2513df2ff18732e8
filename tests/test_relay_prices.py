"""What turns cost: the file of ``relay --price-file``, and what Langfuse has no price for."""

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.codex.scripted_model import running_scripted_model
from codex_langfuse.codex.scripted_model.scenario import Message, Scenario
from codex_langfuse.keys.credentials import basic_authorization
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.langfuse.model_definitions import MANAGED
from codex_langfuse.mock.langfuse.prices import find_model
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.relay import langfuse_prices
from codex_langfuse.relay.assembly import Assembly, FinishedTurn
from codex_langfuse.relay.langfuse_prices import definitions, without_price
from codex_langfuse.relay.policy import Policy
from codex_langfuse.relay.price_file import PriceFileError, read_price_file
from codex_langfuse.relay.server import running_relay
from codex_langfuse.relay.status import prices_missing, read_status
from harness.running_relay import (
    CountingAssembly,
    logs_export,
    post_logs,
    relay_for,
    settings_for,
    wait_until,
)

EXAMPLE = Path("examples/relay/prices.toml")
KINDS = ("input", "input_cached_tokens", "input_cache_creation", "output", "output_reasoning_tokens")
CONFIG = """\
[otel]
metrics_exporter = "none"
exporter = {{ otlp-http = {{ endpoint = "{url}/v1/logs", protocol = "binary" }} }}
trace_exporter = {{ otlp-http = {{ endpoint = "{url}/v1/traces", protocol = "binary" }} }}
"""


# --- the file -----------------------------------------------------------------------------------------------


def policy(folder: Path, text: str) -> Policy:
    (folder / "prices.toml").write_text(text)
    return Policy(prices=read_price_file(folder / "prices.toml"))


def test_what_is_not_given_costs_what_it_is_a_part_of(tmp_path: Path) -> None:
    price = policy(tmp_path, '["gpt-5-codex"]\ninput = 1.25\noutput = 10\n').price("gpt-5-codex", None)
    assert price is not None
    assert price.kinds == dict(zip(KINDS, (1.25e-6, 1.25e-6, 1.25e-6, 1e-5, 1e-5), strict=True))


def test_a_key_is_a_name_with_any_provider_and_date_and_a_pattern_is_as_it_is(tmp_path: Path) -> None:
    prices = policy(
        tmp_path,
        '["a.1"]\ninput = 1\noutput = 1\n[rest]\nmatch = "(?i)^b|c$"\ninput = 2\noutput = 2\n'
        '[last]\nmatch = "c"\ninput = 3\noutput = 3\n',
    )
    found = {
        name: price.kinds["input"] * 1e6 if (price := prices.price(name, None)) else None
        for name in ("a.1", "openai/A.1-2026-11-17", "a.1-mini", "ax1", "B-x", "x-c", "c-x")
    }
    expected = {"a.1": 1, "openai/A.1-2026-11-17": 1, "a.1-mini": None, "ax1": None}
    assert found == pytest.approx({**expected, "B-x": 2, "x-c": 2, "c-x": 3})


@pytest.mark.parametrize("tier", [None, "auto", "default", "standard", "fast", "priority", "flex", "other"])
def test_each_service_tier_has_prices_of_its_own_or_none(tmp_path: Path, tier: str | None) -> None:
    text = "[x]\ninput = 1\noutput = 1\n[x.fast]\ninput = 2\noutput = 2\n"
    price = policy(tmp_path, text).price("x", tier)
    expected = {"fast": 2, "priority": 2, "flex": None, "other": None}.get(str(tier), 1)
    assert (price and round(price.kinds["input"] * 1e6)) == expected


@pytest.mark.parametrize(("cached", "cost"), [(272_000 - 1, 1), (272_000, 1), (272_000 + 1, 2)])
def test_a_large_context_counts_all_kinds_of_input(tmp_path: Path, cached: int, cost: int) -> None:
    text = (
        "[x]\ninput = 1\noutput = 0\n"
        "large_context = { above = 272_001, input = 2, cached_input = 2, output = 0 }\n"
    )
    price = policy(tmp_path, text).price("x", None)
    assert price is not None
    details = {**dict.fromkeys(KINDS, 0), "input": 1, "input_cached_tokens": cached}
    assert price.costs(details)["total"] == pytest.approx(cost * (cached + 1) / 1e6)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[", "is not TOML"),
        ("x = 1", "must be a table with input and output"),
        ("[x]\ninput = 1", "must be a table with input and output"),
        ("[x]\ninput = 1\noutput = 1\ncolour = 2", r"colour is unknown; known: input, .* fast, "),
        ('[x]\ninput = 1\noutput = "1"', "output must be dollars"),
        ("[x]\ninput = -1\noutput = 1", "input must be dollars"),
        ("[x]\ninput = nan\noutput = 1", "input must be dollars"),
        ("[x]\nmatch = '('\ninput = 1\noutput = 1", "match must be a regular expression"),
        ("[x]\ninput = 1\noutput = 1\nfast = 2", r"\[\"x\"\] fast must be a table"),
        ("[x]\ninput = 1\noutput = 1\nfast = {input = 1, output = 1, flex = {}}", "flex is unknown"),
        ("[x]\ninput = 1\noutput = 1\nlarge_context = {input = 1, output = 1}", "must have above"),
        ("[x]\ninput = 1\noutput = 1\nlarge_context = {above = 1, input = 1}", "must be a table with input"),
    ],
)
def test_what_is_no_list_of_prices(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(PriceFileError, match=complaint):
        policy(tmp_path, text)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(PriceFileError, match="cannot be read"):
        read_price_file(tmp_path / "prices.toml")


def test_the_example_has_the_models_without_a_price_and_says_from_where() -> None:
    """The rules that its sources give hold for each number: a slip of one digit shows."""
    text = EXAMPLE.read_text()
    factors = {"fast": 2, "flex": 0.5, "ultrafast": 3}
    for name, table in tomllib.loads(text).items():
        assert find_model(name) is None, f"Langfuse has a price for {name}"
        assert table["cache_write"] == 1.25 * table["input"]
        assert f"/models/{name}" in text
        for tier in ("", *(factors.keys() & table.keys())):
            own = table[tier] if tier else table
            large = own["large_context"]
            assert large["above"] == 272_000
            for kind in ("input", "cached_input", "cache_write", "output"):
                assert own[kind] == pytest.approx(table[kind] * factors.get(tier, 1))
                assert large[kind] == pytest.approx(own[kind] * (1.5 if kind == "output" else 2))


# --- what Langfuse has no price for -------------------------------------------------------------------------


def test_a_name_matches_as_in_langfuse() -> None:
    """The same names as the mock, which prices by the rules of Langfuse 4.16."""
    known = definitions(MANAGED)
    for name in (
        "gpt-5.6-sol",
        "OpenAI/gpt-5.6-sol",
        "gpt-5.5-2026-04-23",
        "gpt-5.4-mini",
        "gpt-6.2-sol",
        "x",
    ):
        model = find_model(name)
        has = set() if model is None else set(model.default_tier.prices)
        missing = [(name, kind) for kind in KINDS if kind not in has]
        assert without_price(known, [(name, kind) for kind in KINDS]) == missing


def test_a_definition_of_the_project_comes_first_even_if_it_lacks_a_kind() -> None:
    own = {"matchPattern": "gpt-5.6", "prices": {"input": {"price": 1}}, "isLangfuseManaged": False}
    old = {**own, "startDate": "2020-01-01T00:00:00.000Z", "inputPrice": 1, "prices": None}
    new = {**own, "startDate": "2026-01-01T00:00:00.000Z", "prices": {"total": {"price": 1}}}
    asked = [("gpt-5.6-sol", "input"), ("gpt-5.6-sol", "output")]
    assert without_price(definitions([*MANAGED, own]), asked) == [("gpt-5.6-sol", "output")]
    assert without_price(definitions([old]), asked) == [("gpt-5.6-sol", "output")]
    assert without_price(definitions([*MANAGED, own, old, new]), asked) == []


@pytest.mark.parametrize("pattern", ["(a*)*b", "(", r"(a)\1", "a" * 600, None, "(?<=a)(?i)b"])
def test_a_pattern_that_python_cannot_judge_is_left_out(pattern: str | None) -> None:
    assert definitions([{"matchPattern": pattern, "prices": {}}]) == []


# --- end to end, the real Codex -----------------------------------------------------------------------------

#: 99 % of the input is cached; a tenth is written; the answer is mostly reasoning.
USAGE = {
    "input_tokens": 100_000,
    "input_tokens_details": {"cached_tokens": 99_000, "cache_write_tokens": 600},
    "output_tokens": 5_000,
    "output_tokens_details": {"reasoning_tokens": 4_000},
    "total_tokens": 105_000,
}
#: The tokens that each of the turns has, by kind: 400 input, 99,000 cached, 600 written, 1,000 and 4,000.
#: Langfuse has prices for gpt-5.6-sol (5, 0.5, 6.25, 30, 30); the file has them for the other two.
COSTS = {
    "gpt-6.2-sol": (400 * 2 + 99_000 * 0.1 + 600 * 2.5 + 5_000 * 10) / 1e6,
    "gpt-6.1-sol": (400 * 4 + 99_000 * 0.2 + 600 * 5 + 5_000 * 20) / 1e6,  # Fast
    "gpt-5.6-sol": (400 * 5 + 99_000 * 0.5 + 600 * 6.25 + 5_000 * 30) / 1e6,
}


@pytest.fixture
def langfuse() -> Iterator[RunningMock]:
    with running_mock() as langfuse:
        yield langfuse


@pytest.fixture(scope="module")
def codex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IsolatedCodex]:
    with running_scripted_model(Scenario((Message("Hello."),), usage=USAGE)) as model:
        yield IsolatedCodex(tmp_path_factory.mktemp("codex"), model_url=model.base_url)


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_langfuse.relay.langfuse_prices.PAUSE", 0.05)


def turn(codex: IsolatedCodex, url: str, *arguments: str) -> None:
    codex.write_config(CONFIG.format(url=url))
    run = codex.run_exec("Say hello.", *arguments)
    assert run.returncode == 0, run.stderr


@pytest.mark.codex
def test_the_cost_that_arrives_is_the_sum_by_hand(
    codex: IsolatedCodex, langfuse: RunningMock, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with running_relay(
        settings_for(langfuse, state), Assembly(Policy(prices=read_price_file(EXAMPLE)))
    ) as url:
        turn(codex, url)
        turn(codex, url, "-c", 'model="gpt-6.1-sol"', "-c", 'service_tier="fast"')
        turn(codex, url, "-c", 'model="gpt-5.6-sol"')
    calls = {each["model"]: each for each in langfuse.store.observations if each["type"] == "GENERATION"}
    assert {model: call["totalCost"] for model, call in calls.items()} == pytest.approx(COSTS)
    assert calls["gpt-6.1-sol"]["modelParameters"]["service_tier"] == "priority"
    by_file = {model for model, call in calls.items() if call["metadata"].get("priced_by") == "price file"}
    assert by_file == {"gpt-6.2-sol", "gpt-6.1-sol"}
    found = read_status(state)
    assert found.without_price == []
    assert "priced      2 turns by --price-file" in found.lines()


@pytest.mark.codex
def test_what_has_no_price_is_named_everywhere(
    codex: IsolatedCodex, langfuse: RunningMock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "codex-langfuse"
    settings = settings_for(langfuse, state)
    with running_relay(settings, Assembly(Policy())) as url:
        turn(codex, url)
    with running_relay(settings, Assembly(Policy())) as url:  # It asks at the start.
        wait_until(lambda: "has no price for gpt-6.2-sol (400 input, " in caplog.text)
        found = read_status(state)
        told = {each["kind"]: each["tokens"] for each in found.as_json()["without_price"]}
        assert told == dict(zip(KINDS, (400, 99_000, 600, 1_000, 4_000), strict=True))
        assert any(line.startswith("no price    gpt-6.2-sol (400 input, 600 ") for line in found.lines())
        metrics = httpx.get(f"{url}/metrics").text
        assert 'tokens_without_price{model="gpt-6.2-sol",kind="output"} 1000' in metrics
        assert "gpt-6.2-sol (400 input, " in prices_missing({"XDG_STATE_HOME": str(tmp_path)})  # for `check`
    assert prices_missing({"XDG_STATE_HOME": str(tmp_path)}) == ""


class _Charging(CountingAssembly):
    """A turn whose name is a model's used one token of input and one of reasoning of that model."""

    def _finish(self, turn: str) -> FinishedTurn:
        unpriced = {(turn, "input"): 1, (turn, "output_reasoning_tokens"): 1}
        return replace(super()._finish(turn), unpriced=unpriced)


def add_price(langfuse: RunningMock) -> None:
    """Give gpt-6.2-sol a price for input, and none for the rest."""
    definition = {"modelName": "mine", "matchPattern": "^gpt-6.2-sol$", "unit": "TOKENS", "inputPrice": 1}
    keys = {"authorization": basic_authorization(langfuse.public_key, langfuse.secret_key)}
    answer = httpx.post(f"{langfuse.url}/api/public/models", json=definition, headers=keys)
    assert answer.status_code == 200


def test_it_asks_again_when_something_new_appears(langfuse: RunningMock, tmp_path: Path) -> None:
    """A definition with some of the kinds, as people write it, leaves the others named."""
    state = tmp_path / "state"
    with running_relay(settings_for(langfuse, state), _Charging()) as url:
        post_logs(url, logs_export("gpt-6.2-sol"))
        wait_until(lambda: len(read_status(state).without_price) == 2)
        add_price(langfuse)
        post_logs(url, logs_export("gpt-5.6-sol"))
        wait_until(lambda: read_status(state).without_price == [("gpt-6.2-sol", "output_reasoning_tokens")])


def test_it_asks_again_every_day(
    langfuse: RunningMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """So a price that somebody adds is known, though nothing new appears."""
    assert timedelta(days=1).total_seconds() == langfuse_prices._DAILY
    monkeypatch.setattr(langfuse_prices, "_DAILY", 0.05)
    state = tmp_path / "state"
    with running_relay(settings_for(langfuse, state), _Charging()) as url:
        post_logs(url, logs_export("gpt-6.2-sol"))
        wait_until(lambda: len(read_status(state).without_price) == 2)
        add_price(langfuse)
        wait_until(lambda: read_status(state).without_price == [("gpt-6.2-sol", "output_reasoning_tokens")])
    assert caplog.text.count("has no price for") == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [({"status": 401}, "status 401"), ({"hang": True}, "no answer in time")],
    ids=["wrong keys", "no answer"],
)
def test_a_langfuse_that_tells_no_prices_gets_the_turns_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], reason: str
) -> None:
    monkeypatch.setattr("codex_langfuse.relay.langfuse_prices.SECONDS_FOR_ANSWER", 0.5)
    state = tmp_path / "state"
    faults = [Fault(**fault, path="/api/public/models")]
    with running_mock(faults=faults) as langfuse, relay_for(langfuse, state) as url:
        assert post_logs(url, logs_export("one")).status_code == 200
        wait_until(lambda: f"prices      not known: {reason}" in read_status(state).lines())
        wait_until(lambda: langfuse.store.traces)
        found = read_status(state)
        assert found.figures is not None
        assert not found.figures.notes.keys() & {"fault", "last error"}
        assert found.as_json()["without_price"] == []
