"""What the page about performance says of Codex's export, and the command that measures it."""

import re
import sys
from base64 import b64encode
from functools import partial
from pathlib import Path

import pytest

import attacks
import bench_results
import benchmarks
import recordings
from benchmarks import BENCHMARKS, BURST
from codex_langfuse.exports import spans_in
from codex_langfuse.mock.faults import Fault
from harness.surroundings import Surroundings
from translations import CHINESE, DOCS

pytestmark = pytest.mark.slow

PAGE = "concepts/performance.md"
CONFIG = """\
[otel]
metrics_exporter = "none"
[otel.trace_exporter.otlp-http]
endpoint = "https://cloud.langfuse.com/api/public/otel/v1/traces"
protocol = "binary"
"""


@pytest.mark.slow
def test_what_is_measured_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the page's first command keeps, with one bench and fewer turns, and its second one reads:

    ./scripts/bench --save
    .venv/bin/python scripts/site/generate_pages.py
    """
    kept = tmp_path / "results.toml"
    monkeypatch.setattr(sys, "argv", ["bench", "relay", "--save", "--file", str(kept)])
    monkeypatch.setattr(benchmarks, "TURNS", 5)
    monkeypatch.setattr(benchmarks, "CONVERSATIONS", 20)
    benchmarks.main()
    printed = capsys.readouterr().out
    (measured,) = bench_results.read(kept).values()
    ratio = float(re.search(r"([0-9.]+) ×  the relay's work", printed)[1])
    assert measured.pairs["relay"].ratio == pytest.approx(ratio, abs=0.01)
    assert f"{measured.numbers['turns']:,} turns a second" in printed
    assert measured.machine == bench_results.machine()


@pytest.mark.slow
def test_an_attack_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`./scripts/bench --attacks` runs all of them, this one with a hundred times as many events."""
    monkeypatch.setattr(attacks, "AFTERWARDS", 0.2)
    attack = attacks.Attack("small", partial(attacks.one_conversation, count=200))
    assert attacks.harm_of(attack, tmp_path).is_within
    assert not attacks.Harm(memory=attacks.MOST_MEMORY + 1).is_within


def test_a_benchmark_that_is_run_again_replaces_only_its_own(tmp_path: Path) -> None:
    kept = tmp_path / "results.toml"
    for name, count in (("one", 1), ("other", 2), ("one", 3)):
        bench_results.save(kept, name, {"pair": bench_results.Pair(2, 1, 1, 5)}, {"count": count})
    read = bench_results.read(kept)
    assert {name: benchmark.numbers["count"] for name, benchmark in read.items()} == {"one": 3, "other": 2}
    assert read["one"].pairs["pair"].ratio == 2


def test_every_benchmark_was_kept() -> None:
    assert bench_results.read().keys() == BENCHMARKS.keys()


def test_the_page_tells_the_largest_request() -> None:
    """512 spans at most."""
    requests = [body for name in recordings.names() for body in recordings.bodies(name, "traces")]
    assert max(len(spans_in([body])) for body in requests) == 512


@pytest.mark.parametrize("docs", [DOCS, CHINESE], ids=["en", "zh"])
def test_what_the_page_says_of_the_delays_was_measured(docs: Path) -> None:
    """What is said in words beside the table of delays, and no share in percent."""
    pairs = bench_results.read()["codex"].pairs
    quick = ("direct-answers", "direct-refuses", "direct-dead", "relay-answers", "relay-hangs")
    assert all(pairs[name].difference < 0.5 for name in quick)
    assert 0.5 < pairs["direct-slow"].difference < 5
    assert 9 < pairs["direct-hangs"].difference < 31
    assert pairs["direct-hangs-limit"].difference < 4
    assert "10 s" in (docs / PAGE).read_text(encoding="utf-8")


@pytest.mark.codex
def test_a_full_queue_loses_the_turn_and_more_connections_save_it(
    surroundings: Surroundings, shared_codex
) -> None:
    def names(fault: Fault, **environment: str) -> list[str]:
        outcome = surroundings.turn(
            shared_codex,
            CONFIG,
            scenario=BURST,
            environment={
                "OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"Authorization={authorization(surroundings)}",
                **environment,
            },
            fault=fault,
        )
        assert outcome.run.returncode == 0
        return [observation["name"] for observation in outcome.observations]

    # Nothing leaves the queue until Codex gives up on the first batch: by then the turn is over.
    overflown = names(Fault(hang=True, times=1), OTEL_EXPORTER_OTLP_TRACES_TIMEOUT="20000")
    assert "session_task.turn" not in overflown
    saved = names(Fault(delay=1), OTEL_BSP_MAX_CONCURRENT_EXPORTS="4")
    assert len(saved) > 2048 > len(overflown)
    assert "run_turn" in saved  # The span around it, session_task.turn, does not always come.


@pytest.mark.codex
@pytest.mark.parametrize(("share", "arrives"), [("0", False), ("1", True)])
def test_the_sampler_decides(surroundings: Surroundings, shared_codex, share: str, arrives: bool) -> None:
    sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": share}
    outcome = surroundings.turn(shared_codex, CONFIG, environment=sampler)
    assert bool(outcome.spans) is arrives


def authorization(surroundings: Surroundings) -> str:
    """The value of the header that the mock accepts, as the variable has it."""
    langfuse = surroundings.langfuse
    return "Basic%20" + b64encode(f"{langfuse.public_key}:{langfuse.secret_key}".encode()).decode()
