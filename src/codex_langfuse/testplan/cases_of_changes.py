"""Cases: two environments, a migration and new keys, and everything taken back."""

import tomllib

from codex_langfuse.codex.isolated import CodexRun
from codex_langfuse.mock.server import running_mock
from codex_langfuse.testplan import configurations, traffic
from codex_langfuse.testplan.proof import Proof, in_words
from codex_langfuse.testplan.stage import Stage

_PROFILE = "second"
_NEW_PAIR = ("pk-lf-after-the-rotation", "sk-lf-after-the-rotation")


def environments(stage: Stage, proof: Proof) -> None:
    """Run a turn by the configuration, and one by a profile with another environment."""
    langfuse = stage.langfuse()
    names = (configurations.ENVIRONMENT, configurations.SECOND_ENVIRONMENT)
    first, second = (
        configurations.direct(langfuse.address, session=stage.session, environment=name) for name in names
    )
    profile = stage.codex.codex_home / f"{_PROFILE}.config.toml"
    profile.write_text(second, encoding="utf-8")
    try:
        turns = {
            names[0]: stage.turn(first, environment=langfuse.key),
            names[1]: stage.turn(first, "-p", _PROFILE, environment=langfuse.key),
        }
    finally:
        profile.unlink()
    exports = {name: turn.exports(langfuse.address) for name, turn in turns.items()}
    accepted = all(traffic.all_answered(each, 200, 207) for each in exports.values())
    proof.check("accepted", accepted, "; ".join(traffic.requests(each) for each in exports.values()))
    own, apart, told = True, True, []
    for name, sent in exports.items():
        all_shown, words, observations = traffic.arrived(
            langfuse, turns[name], stage.session, environment=name
        )
        others = {id_ for other, each in exports.items() if other != name for id_ in traffic.ids_of(each)[0]}
        strangers = others & {each["id"] for each in observations}
        # Langfuse 3 is asked only for this turn's traces, so it must be asked for the other's, too.
        strangers |= {
            each["id"]
            for other, each_sent in exports.items()
            if other != name
            for each in langfuse.reading.now(stage.session, traffic.ids_of(each_sent)[1], environment=name)
            if each["id"] in others
        }
        own, apart = own and all_shown and bool(sent), apart and not strangers and bool(others)
        told.append((f"{name}: {words}", f"{name}: {len(strangers)} of the other's {len(others)}"))
    proof.check("own", own, "; ".join(words for words, _ in told))
    proof.check("apart", apart, "; ".join(words for _, words in told))


def upgrade(stage: Stage, proof: Proof) -> None:
    """Migrate an older configuration and take that back; then let only a new pair of keys in."""
    langfuse = stage.langfuse()
    older = configurations.OLDER % langfuse.address
    config = stage.codex.write_config(older)
    before = stage.turn(None, environment=langfuse.key)
    refused = [each for each in before.exchanges if each.method == "POST"]
    changed = stage.command(
        *("config", "direct", "--base-url", langfuse.address),
        *("--environment", configurations.ENVIRONMENT, "--tag", configurations.TAG, "--yes"),
    )
    migrated = config.read_text(encoding="utf-8")
    kept = [line for line in older.splitlines() if "stay" in line or line.startswith("#")]
    left = [line for line in kept if line not in migrated.splitlines()]
    loads = stage.codex.run("app-server", "--strict-config")
    still_logs = isinstance(tomllib.loads(migrated)["otel"].get("exporter"), dict)
    proof.check(
        "migrated",
        traffic.all_answered(refused, 404) and _done(changed, loads) and not left and not still_logs,
        f"before: {traffic.requests(refused)}; after: exit status {changed.returncode}, "
        f"Codex {loads.returncode}; "
        f"{len(kept) - len(left)} of {len(kept)} lines kept",
    )
    session = _with_session(stage, migrated)
    turn = stage.turn(session, environment=langfuse.key)
    exports = turn.exports(langfuse.address)
    all_shown, told, _ = traffic.arrived(langfuse, turn, stage.session)
    proof.check(
        "arrives", traffic.all_answered(exports, 200) and all_shown, f"{traffic.requests(exports)}; {told}"
    )
    config.write_text(migrated, encoding="utf-8")
    undone = stage.command("config", "--undo", "--yes")
    same = config.read_bytes() == older.encode()
    proof.check("undone", _done(undone) and same, f"exit status {undone.returncode}; same bytes: {same}")

    with running_mock(*_NEW_PAIR) as rotated:
        after = stage.mocked(rotated, langfuse.address)
        stage.lead(after)
        old = stage.turn(session, environment=langfuse.key).exports(langfuse.address)
        proof.check("old_refused", traffic.all_answered(old, 401), traffic.requests(old))
        new = stage.turn(None, environment=after.key).exports(langfuse.address)
        stored = len(rotated.store.observations)
        told = f"{traffic.requests(new)}; {stored} observations"
        proof.check("new_accepted", traffic.all_answered(new, 200) and stored, told)


def removal(stage: Stage, proof: Proof) -> None:
    """Switch telemetry off and look at the wire; then undo all that was changed."""
    langfuse = stage.langfuse()
    original = '# Nothing of Langfuse.\nmodel_verbosity = "low"\n'
    config = stage.codex.write_config(original)
    on = stage.command("config", "direct", "--base-url", langfuse.address, "--yes")
    before = stage.turn(None, environment=langfuse.key)
    exports = before.exports(langfuse.address)
    arrived = _done(on) and traffic.all_answered(exports, 200)
    proof.check(
        "before", arrived, f"{traffic.requests(exports)}; {len(stage.mock.store.observations)} observations"
    )

    off = stage.command("config", "off", "--yes")
    stage.wire.refused.clear()
    after = stage.turn(None)
    silent = _done(off, after.run) and not after.exchanges and not stage.wire.refused
    told = (
        f"exit status {after.run.returncode}; {traffic.requests(after.exchanges)}; "
        f"other hosts asked: {in_words(stage.wire.refused)}"
    )
    proof.check(
        "off",
        silent and stage.model.requests,
        f"{told}; the model was asked {len(stage.model.requests)} times",
    )

    undone = [stage.command("config", "--undo", "--yes") for _ in range(2)]
    same = config.read_bytes() == original.encode()
    proof.check(
        "undone",
        _done(*undone) and same,
        f"exit status {in_words([each.returncode for each in undone])}; same bytes: {same}",
    )
    beside = sorted(each.name for each in config.parent.glob("config.toml*"))
    proof.check("nothing_left", beside == ["config.toml"], beside)


def _with_session(stage: Stage, config: str) -> str:
    """Return a configuration with the name of the case's session on every span."""
    return config.replace(
        "[otel.span_attributes]", f'[otel.span_attributes]\n"langfuse.session.id" = "{stage.session}"\n#', 1
    )


def _done(*runs: CodexRun) -> bool:
    return all(run.returncode == 0 for run in runs)


PLAYERS = {
    "environments": environments,
    "upgrade": upgrade,
    "removal": removal,
}
