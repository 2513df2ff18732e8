"""Cases: each deployment scenario delivers a whole turn."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from codex_langfuse.codex.versions import Version
from codex_langfuse.testplan import configurations, traffic
from codex_langfuse.testplan.proof import Proof, in_words
from codex_langfuse.testplan.stage import Langfuse, PlayedTurn, Stage
from codex_langfuse.testplan.wire import origin_of

#: The first Langfuse to take OpenTelemetry.
_FIRST_WITH_OTEL = Version(3, 22)
#: nginx' `client_max_body_size`, and so what ingress-nginx takes, unless it is told otherwise.
_INGRESS_TAKES = 1024 * 1024
_MOST_RELAYED = 10


def cloud(address: str, stage: Stage, proof: Proof) -> None:
    """Run a turn to a region of Langfuse Cloud."""
    langfuse = stage.langfuse(address)
    _deliver(stage, proof, langfuse)


def docker(stage: Stage, proof: Proof) -> None:
    """Run a turn to a Langfuse that is reached by plain HTTP."""
    langfuse = stage.langfuse(_own_address(stage, "http://", configurations.DOCKER))
    status, version = langfuse.reading.version()
    proof.check("version", status == 200 and _takes_otel(version), f"status {status}, version {version}")
    _deliver(stage, proof, langfuse)


def kubernetes(stage: Stage, proof: Proof) -> None:
    """Run a turn to a Langfuse behind an Ingress with TLS."""
    langfuse = stage.langfuse(_own_address(stage, "https://", configurations.KUBERNETES))
    status, version = langfuse.reading.version("ready")
    proof.check("ready", status == 200 and _takes_otel(version), f"status {status}, version {version}")
    turn = _deliver(stage, proof, langfuse)
    largest = max((len(each.body) for each in turn.exports(langfuse.address)), default=0)
    proof.check("size", 0 < largest <= _INGRESS_TAKES, f"the largest of them has {largest:,} bytes")


def relay(stage: Stage, proof: Proof) -> None:
    """Run a turn through the command ``codex-langfuse relay``, with what ``config relay`` writes."""
    langfuse = stage.langfuse()
    state = stage.new_folder("relay")
    config = stage.codex.codex_home / "config.toml"
    config.unlink(missing_ok=True)
    before = len(stage.wire.exchanges)
    with stage.relay_process(langfuse, state):
        stage.command("config", "relay", "--endpoint", configurations.RELAY, "--yes")
        turn = stage.turn(None, scenario="tool call")
        written = config.read_text(encoding="utf-8") if config.exists() else ""
    relayed = stage.arrived(langfuse, turn, stage.wire.exchanges[before:])
    stage.command("config", "--undo", "--yes")
    status = stage.command("relay", "--status", "--state", str(state)).stdout
    shown = relayed.shown

    to_relay = turn.exports(configurations.RELAY)
    headers = {name for each in to_relay for name in each.headers}
    no_key = "authorization" not in headers and not re.search(r"[ps]k-lf-|authorization", written, re.I)
    told = (
        f"headers of {len(to_relay)} requests: {in_words(headers)}; {len(written)} characters of config.toml"
    )
    proof.check("no_key", to_relay and written and no_key, told)
    paths = {each.path for each in to_relay}
    both = paths == {"/v1/logs", "/v1/traces"} and traffic.all_answered(to_relay, 200)
    proof.check("both_signals", both, traffic.requests(to_relay))
    ids = {span.span_id for span in relayed.spans}
    traces = {each["traceId"] for each in shown.observations}
    proof.check(
        "one_trace",
        ids and shown.ids == ids and len(traces) == 1 and len(ids) <= _MOST_RELAYED,
        f"{len(ids)} spans sent, {len(shown.ids)} observations shown, traces: {len(traces)}; "
        f"{in_words(sorted(each['type'] + ' ' + each['name'] for each in shown.observations))}",
    )
    sessions = {each["sessionId"] for each in shown.observations}
    proof.check(
        "session",
        turn.session and sessions == {turn.session},
        f"Codex printed {turn.session}; sessions in Langfuse: {in_words(sessions)}",
    )
    calls = [(each["model"], _tokens(each)) for each in shown.of("GENERATION")]
    charged = [(charge.model, charge.tokens) for charge in stage.model.charges if charge.usage]
    right = sorted(calls) == sorted(charged)
    proof.check(
        "tokens",
        charged and right,
        f"{in_words(calls)} tokens; the model charged {in_words(charged)}",
    )
    counted = "1 seen, 1 accepted, 0 waiting, 0 set aside"
    lines = [line for line in status.splitlines() if line.startswith("turns")]
    proof.check("status", counted in status, lines)


def _deliver(stage: Stage, proof: Proof, langfuse: Langfuse) -> PlayedTurn:
    """Run a turn on the direct route, and make the checks that every scenario of it has."""
    config = configurations.direct(langfuse.address, session=stage.session)
    turn = stage.turn(config, scenario="tool call", environment=langfuse.key)
    sent = [each for each in turn.exchanges if each.method == "POST"]
    addresses = {f"{each.origin}{each.path}" for each in sent}
    proof.check("address", addresses == {langfuse.endpoint}, traffic.requests(sent))
    wanted = {
        "authorization": langfuse.authorization,
        "content-type": "application/x-protobuf",
        "x-langfuse-ingestion-version": "4",
    }
    wrong = sorted(
        name for name, value in wanted.items() if any(each.headers.get(name) != value for each in sent)
    )
    proof.check(
        "headers",
        sent and not wrong,
        f"wrong: {in_words(wrong)}" if wrong else f"as expected: {in_words(sorted(wanted))}",
    )
    proof.check("accepted", traffic.all_answered(sent, 200, 207), traffic.requests(sent))
    all_shown, told, observations = traffic.arrived(langfuse, turn, stage.session)
    environments = {each["environment"] for each in observations}
    names = {each["name"] for each in observations}
    there = "turn/start" in names
    proof.check(
        "shown",
        all_shown and environments == {configurations.ENVIRONMENT} and there,
        f"{told}; environments: {in_words(environments)}; turn/start {'' if there else 'not '}there",
    )
    others = sorted(
        {*stage.wire.refused, *(each.origin for each in turn.exchanges)} - {origin_of(langfuse.address)}
    )
    proof.check("nowhere_else", turn.run.returncode == 0 and not others, others or "no other host")
    return turn


def _own_address(stage: Stage, scheme: str, example: str) -> str:
    """Return the tester's own address, if it is not the cloud's and begins so; else the example."""
    real = stage.real.base_url if stage.real else None
    own = real is not None and real.place == "your own Langfuse" and real.url.startswith(scheme)
    return real.url if real is not None and own else example


def _takes_otel(version: str) -> bool:
    try:
        return Version.parse(version) >= _FIRST_WITH_OTEL
    except ValueError:
        return False


def _tokens(observation: dict[str, Any]) -> int:
    return int((observation.get("usageDetails") or {}).get("total", 0))


PLAYERS: dict[str, Callable[[Stage, Proof], None]] = {
    "scenario-cloud-eu": partial(cloud, configurations.CLOUD_EU),
    "scenario-cloud-us": partial(cloud, configurations.CLOUD_US),
    "scenario-docker": docker,
    "scenario-kubernetes": kubernetes,
    "scenario-relay": relay,
}
