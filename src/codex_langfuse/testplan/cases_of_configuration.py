"""Cases: the configuration loads; the right keys are accepted, all others refused."""

import re

from codex_langfuse.keys.credentials import TRACES_HEADERS, basic_authorization, traces_headers
from codex_langfuse.testplan import configurations, traffic
from codex_langfuse.testplan.certificates import PrivateAuthority
from codex_langfuse.testplan.proof import Proof
from codex_langfuse.testplan.stage import Stage


def configuration_loads(stage: Stage, proof: Proof) -> None:
    """Have Codex read every configuration, and two mistakes."""
    files = PrivateAuthority().hand_out(stage.new_folder("certificates"))
    configs = configurations.of_every_scenario(files.mutual)
    verdicts = {name: stage.codex.check_config(text) for name, text in configs.items()}
    refused = {name: verdict.message for name, verdict in verdicts.items() if not verdict.valid}
    proof.check("accepted", not refused, refused or f"exit status 0: {', '.join(configs)}")
    keys = [name for name, text in configs.items() if re.search(r"[ps]k-lf-|authorization", text, re.I)]
    proof.check("no_key", not keys, keys or f"{sum(map(len, configs.values()))} characters searched")
    doubled = stage.codex.check_config(configurations.STRING_AND_TABLE)
    words = "cannot extend value of type string with a dotted key"
    proof.check("string_and_table", not doubled.valid and words in doubled.message, doubled.message)
    misspelt = stage.codex.check_config(configurations.MISSPELT)
    named = "otel.traces_exporter" in misspelt.message and misspelt.line == 3
    proof.check("misspelt", not misspelt.valid and named, f"line {misspelt.line}: {misspelt.message}")


def authentication(stage: Stage, proof: Proof) -> None:
    """Run turns with the keys, with a secret key that does not exist, and without."""
    langfuse = stage.langfuse()
    config = configurations.direct(langfuse.address, session=stage.session)
    with_keys = stage.turn(config, environment=langfuse.key)
    exports = with_keys.exports(langfuse.address)
    proof.check("accepted", traffic.all_answered(exports, 200, 207), traffic.requests(exports))
    all_shown, told, _ = traffic.arrived(langfuse, with_keys, stage.session)
    proof.check("shown", all_shown, told)

    made_up = basic_authorization("pk-lf-codex-langfuse-test-plan", f"sk-lf-no-such-key-{stage.run_id}")
    wrong = stage.turn(None, environment={TRACES_HEADERS: traces_headers(made_up)})
    without = stage.turn(None)
    for name, turn in (("wrong_key", wrong), ("no_key", without)):
        exports = turn.exports(langfuse.address)
        answer = exports[0].answer.decode(errors="replace")[:120] if exports else ""
        proof.check(name, traffic.all_answered(exports, 401), f"{traffic.requests(exports)}; {answer}")
    quiet = [traffic.silence(turn) for turn in (wrong, without)]
    proof.check("silent", all(held for held, _ in quiet), "; ".join(words for _, words in quiet))
    refused, trace_ids = traffic.ids_of(
        [*wrong.exports(langfuse.address), *without.exports(langfuse.address)]
    )
    shown = {each["id"] for each in langfuse.reading.now(stage.session, trace_ids)} & refused
    proof.check("kept_out", refused and not shown, f"{len(refused)} spans refused, {len(shown)} shown")


PLAYERS = {
    "configuration-loads": configuration_loads,
    "authentication": authentication,
}
