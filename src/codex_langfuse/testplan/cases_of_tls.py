"""Cases: TLS with a private authority, and TLS only for clients that have a certificate."""

from codex_langfuse.testplan import configurations, traffic
from codex_langfuse.testplan.certificates import CLIENT, ClientFiles, PrivateAuthority
from codex_langfuse.testplan.proof import Proof, in_words
from codex_langfuse.testplan.stage import Langfuse, PlayedTurn, Stage

#: At the level "error" Codex reports a full batch that failed, and not the last one.
_TELLING = {"RUST_LOG": "opentelemetry_sdk=debug"}


def private_ca(stage: Stage, proof: Proof) -> None:
    """Run a turn that trusts the authority, and one that does not."""
    langfuse, private = _behind_tls(stage)
    trusting = _turn(stage, langfuse, private.trust)
    _check_arrival(stage, proof, langfuse, trusting)

    doubting = _turn(stage, langfuse)
    proof.check(
        "refused",
        stage.wire.handshakes and not doubting.exchanges,
        f"{traffic.requests(doubting.exchanges)}; the server saw: {in_words(stage.wire.handshakes)}",
    )
    proof.check("silent", *traffic.silence(doubting))
    telling = stage.turn(None, environment={**langfuse.key, **_TELLING})
    said = [
        line for line in telling.run.stderr.splitlines() if "opentelemetry_sdk" in line and "Error" in line
    ]
    told = said and "certificate" in said[0].lower() and not telling.exchanges
    proof.check("told", told, said[:1])


def mutual(stage: Stage, proof: Proof) -> None:
    """Run turns with a client certificate, without, and with half of what it takes."""
    langfuse, private = _behind_tls(stage, clients_only=True)
    _check_arrival(stage, proof, langfuse, _turn(stage, langfuse, private.mutual), client=CLIENT)
    without = _turn(stage, langfuse, private.trust)
    proof.check(
        "refused",
        stage.wire.handshakes and not without.exchanges,
        f"{traffic.requests(without.exchanges)}; the server saw: {in_words(stage.wire.handshakes)}",
    )
    proof.check("silent", *traffic.silence(without))
    half = _turn(stage, langfuse, private.half)
    said = [line for line in half.run.stderr.splitlines() if "client_private_key" in line]
    right = said and "must both be provided" in said[0] and not half.exchanges
    proof.check("half", right, f"{in_words(said)}; {traffic.requests(half.exchanges)}")


def _behind_tls(stage: Stage, *, clients_only: bool = False) -> tuple[Langfuse, ClientFiles]:
    host = configurations.PRIVATE.removeprefix("https://")
    authority = PrivateAuthority()
    langfuse = stage.mocked(stage.mock, configurations.PRIVATE)
    stage.lead(langfuse, authority.context(host, clients_only=clients_only))
    return langfuse, authority.hand_out(stage.new_folder("certificates"))


def _turn(stage: Stage, langfuse: Langfuse, tls: dict[str, str] | None = None) -> PlayedTurn:
    stage.wire.handshakes.clear()
    config = configurations.direct(langfuse.address, session=stage.session, tls=tls)
    return stage.turn(config, environment=langfuse.key)


def _check_arrival(
    stage: Stage, proof: Proof, langfuse: Langfuse, turn: PlayedTurn, client: str | None = None
) -> None:
    exports = turn.exports(langfuse.address)
    all_shown, told, _ = traffic.arrived(langfuse, turn, stage.session)
    clients = {each.client for each in exports}
    right = traffic.all_answered(exports, 200) and all_shown and clients == {client}
    who = f"; the client's certificate names {', '.join(map(str, clients))}" if client else ""
    failed = f"; exit status {turn.run.returncode}, handshakes that failed: {in_words(stage.wire.handshakes)}"
    proof.check("arrives", right, f"{traffic.requests(exports)}; {told}{who}{'' if right else failed}")


PLAYERS = {"tls-private-ca": private_ca, "tls-mutual": mutual}
