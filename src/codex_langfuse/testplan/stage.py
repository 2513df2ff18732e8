"""What a case works with: a real Codex with its own home, a scripted model, the wire, and a Langfuse.

Nothing here is the tester's but Codex' program and, if they gave one, their Langfuse. No configuration and no
daemon of theirs is touched, and no real model is asked.
"""

import base64
import os
import re
import secrets
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from codex_langfuse.codex.isolated import CodexRun, IsolatedCodex, run_in_group
from codex_langfuse.codex.scripted_model import Scenario, ScriptedModel, running_scripted_model
from codex_langfuse.exports import Record, Span, records_in, spans_in
from codex_langfuse.keys.credentials import (
    TRACES_HEADERS,
    TRACES_PATH,
    Access,
    BaseUrl,
    basic_authorization,
    traces_headers,
)
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.relay.admission import Address
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.delivery import Destination
from codex_langfuse.relay.policy import Content, Policy, User
from codex_langfuse.relay.server import Settings, running_relay
from codex_langfuse.testplan import configurations
from codex_langfuse.testplan.definition import Against, Case
from codex_langfuse.testplan.reading import EVERYTHING, Reading, Shown
from codex_langfuse.testplan.wire import Exchange, Wire, origin_of, running_wire
from codex_langfuse.verify.connection import LangfuseConnection

#: Seconds for one run of Codex, and for one of codex-langfuse. Neither comes near it.
_CODEX_SECONDS, _COMMAND_SECONDS = 120, 60
_COMMAND = (sys.executable, "-I", "-m", "codex_langfuse")
_SESSION_ID = re.compile(r"^session id: (\S+)$", re.M)


@dataclass(frozen=True)
class Langfuse:
    """A Langfuse as a case sees it.

    ``address`` is what a configuration names, ``upstream`` where that leads; they differ for the mock, which
    replaces every address.
    """

    address: str
    upstream: str
    authorization: str = field(repr=False)
    is_mock: bool
    reading: Reading

    @property
    def key(self) -> dict[str, str]:
        """The variable that gives Codex the key."""
        return {TRACES_HEADERS: traces_headers(self.authorization)}

    @property
    def endpoint(self) -> str:
        """Where traces go."""
        return self.address + TRACES_PATH


@dataclass(frozen=True)
class PlayedTurn:
    """A run of Codex, and the requests with telemetry that went over the wire because of it."""

    run: CodexRun
    exchanges: Sequence[Exchange]

    @property
    def session(self) -> str:
        """The id of the conversation, as Codex prints it; empty if it did not."""
        found = _SESSION_ID.search(self.run.stderr)
        return found[1] if found else ""

    def exports(self, address: str) -> list[Exchange]:
        """Return the exports that went to the origin of ``address``: what has a body."""
        origin = origin_of(address)
        return [
            each for each in self.exchanges if each.origin == origin and each.method == "POST" and each.body
        ]

    def spans(self, address: str) -> list[Span]:
        """Return the spans that went there."""
        return spans_in(each.body for each in self.exports(address) if each.path.endswith("/traces"))

    def records(self, address: str) -> list[Record]:
        """Return the log records that went there."""
        return records_in(each.body for each in self.exports(address) if each.path.endswith("/logs"))


@dataclass(frozen=True)
class Relayed:
    """A turn through the relay: what Codex sent it, what it sent on, and what Langfuse shows."""

    turn: PlayedTurn
    delivered: Sequence[Exchange]
    shown: Shown

    @property
    def spans(self) -> list[Span]:
        """The spans that the relay sent, each once."""
        return list({span.span_id: span for span in spans_in(each.body for each in self.delivered)}.values())


@dataclass
class Stage:
    """The stage on which cases are played, one after the other; ``begin`` clears it for the next.

    ``real`` is the tester's Langfuse, None for none; ``sent_traces`` are the ids of all traces that it took.
    """

    folder: Path
    codex: IsolatedCodex
    model: ScriptedModel
    wire: Wire
    mock: RunningMock
    mock_reading: Reading
    real: Access | None
    real_reading: Reading | None
    run_id: str
    case: Case | None = None
    played_against: list[Langfuse] = field(default_factory=list)
    sent_traces: set[str] = field(default_factory=set)

    def begin(self, case: Case) -> None:
        """Make everything as it was at first."""
        self.case = case
        self.played_against = []
        self.wire.clear()
        self.wire.pass_unseen(self.model.base_url)
        self.mock.store.clear()
        self.mock.faults.clear()
        self.model.play("plain turn")
        for file in self.codex.workspace.iterdir():
            if file.is_file():
                file.unlink()

    def end(self) -> None:
        """Take down what the tester's Langfuse took of this case."""
        for address in {langfuse.address for langfuse in self.played_against if not langfuse.is_mock}:
            taken = [each.body for each in self.wire.to(address) if each.status in (200, 207)]
            self.sent_traces |= {span.trace_id for span in spans_in(taken)}

    @property
    def secrets(self) -> list[str]:
        """What must not be shown: the secret keys, and the headers made of them."""
        headers = [basic_authorization(self.mock.public_key, self.mock.secret_key)]
        if self.real is not None:
            headers.append(self.real.authorization)
        encoded = [header.removeprefix("Basic ") for header in headers]
        return encoded + [_keys(header)["LANGFUSE_SECRET_KEY"] for header in headers]

    @property
    def session(self) -> str:
        """The name of the session that a direct turn of this case is filed under."""
        assert self.case is not None
        return f"codex-langfuse-test-plan-{self.run_id}-{self.case.number:02}"

    def langfuse(self, address: str | None = None) -> Langfuse:
        """Return the Langfuse for this case, and lead ``address`` to it.

        It is the tester's where the case's definition and ``address`` allow it, else the mock. Without an
        address it is the tester's own, or Langfuse Cloud's in the EU, which the mock replaces.
        """
        assert self.case is not None
        real = self.real
        if (
            real is not None
            and self.case.against is not Against.MOCK
            and address in (None, real.base_url.url)
        ):
            assert self.real_reading is not None
            url = real.base_url.url
            found = Langfuse(url, url, real.authorization, False, self.real_reading)
        else:
            found = self.mocked(self.mock, address or configurations.CLOUD_EU, self.mock_reading)
        self.lead(found)
        return found

    def mocked(self, mock: RunningMock, address: str, reading: Reading | None = None) -> Langfuse:
        """Return a mock as the Langfuse at ``address``."""
        authorization = basic_authorization(mock.public_key, mock.secret_key)
        return Langfuse(address, mock.url, authorization, True, reading or self.mock_reading)

    def lead(self, langfuse: Langfuse, context: ssl.SSLContext | None = None) -> None:
        """Lead the address of a Langfuse to it, and the relay's requests too."""
        self.played_against.append(langfuse)
        self.wire.route(langfuse.address, origin_of(langfuse.upstream), context)
        self.wire.stand_for(langfuse.address)

    def turn(
        self,
        config: str | None,
        *arguments: str,
        scenario: str | Scenario = "plain turn",
        prompt: str = "Say hello.",
        environment: Mapping[str, str] | None = None,
    ) -> PlayedTurn:
        """Run ``codex exec`` once; ``config`` None leaves the configuration as it is."""
        if config is not None:
            self.codex.write_config(config)
        self.model.play(scenario)
        before = len(self.wire.exchanges)
        run = self.codex.run_exec(prompt, *arguments, environment=environment, timeout=_CODEX_SECONDS)
        return PlayedTurn(run, self.wire.exchanges[before:])

    def relayed_turn(
        self,
        langfuse: Langfuse,
        *,
        content: str = "none",
        scenario: str | Scenario = "plain turn",
        prompt: str = "Say hello.",
        logging_content: bool = False,
    ) -> Relayed:
        """Run a turn through a relay that ends right after it, and wait until Langfuse shows it."""
        before = len(self.wire.exchanges)
        with self.relay(langfuse, content) as url:
            self.wire.route(configurations.RELAY, url)
            config = configurations.relayed(logging_content=logging_content)
            turn = self.turn(config, scenario=scenario, prompt=prompt)
        return self.arrived(langfuse, turn, self.wire.exchanges[before:])

    def arrived(self, langfuse: Langfuse, turn: PlayedTurn, exchanges: Sequence[Exchange]) -> Relayed:
        """Wait until Langfuse shows what a relay sent within ``exchanges``."""
        delivered = [each for each in exchanges if each.path.endswith(TRACES_PATH) and each.body]
        spans = spans_in(each.body for each in delivered if each.status in (200, 207))
        ids = {span.span_id for span in spans}
        shown = langfuse.reading.wait_for(turn.session, ids, [span.trace_id for span in spans], EVERYTHING)
        return Relayed(turn, delivered, shown)

    @contextmanager
    def relay(self, langfuse: Langfuse, content: str = "none") -> Iterator[str]:
        """Run a relay in this process, and yield its address; leaving the block has it deliver and end."""
        # A Langfuse may live under a path of its own.
        address = langfuse.address.replace(origin_of(langfuse.address), self.wire.url, 1)
        access = Access(BaseUrl(address), langfuse.authorization, "the test plan")
        settings = Settings(
            Address("127.0.0.1", 0),
            self.new_folder("relay"),
            Destination.langfuse(access),
            finish_on_stop=True,
        )
        policy = Policy(
            content=Content(content),
            user=User("name", configurations.USER),
            environment=configurations.ENVIRONMENT,
            tags=(configurations.TAG,),
        )
        with running_relay(settings, Assembly(policy)) as url:
            yield url

    @contextmanager
    def relay_process(self, langfuse: Langfuse, state: Path) -> Iterator["RelayProcess"]:
        """Run the command ``codex-langfuse relay`` and lead Codex to it; stop it at the end.

        What is sent to its own address is not recorded.
        """
        environment = {
            **self.codex.environment,
            "LANGFUSE_BASE_URL": langfuse.address,
            **_keys(langfuse.authorization),
        }
        options = ["--environment", configurations.ENVIRONMENT, "--tag", configurations.TAG]
        options += [
            "--user",
            configurations.USER,
            "--finish-on-stop",
            "--listen",
            "127.0.0.1:0",
            "--state",
            str(state),
        ]
        process = subprocess.Popen(
            [*_COMMAND, "relay", *options],
            env=environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        relay = RelayProcess(process)
        try:
            relay.wait_until_ready()
            self.wire.route(configurations.RELAY, relay.url)
            self.wire.pass_unseen(relay.url)
            yield relay
        finally:
            relay.stop()

    def command(self, *arguments: str, environment: Mapping[str, str] | None = None) -> CodexRun:
        """Run ``codex-langfuse`` with ``arguments`` as the person whose Codex this is."""
        return run_in_group(
            [*_COMMAND, *arguments],
            cwd=self.codex.workspace,
            environment={**self.codex.environment, **(environment or {})},
            timeout=_COMMAND_SECONDS,
        )

    def new_folder(self, name: str) -> Path:
        """Return the path of a folder that is not there yet."""
        return self.folder / f"{name}-{secrets.token_hex(4)}"


class RelayProcess:
    """A running ``codex-langfuse relay``; ``url`` is its address once it is ready."""

    def __init__(self, process: "subprocess.Popen[str]"):
        self._process = process
        self.url = ""

    def wait_until_ready(self) -> None:
        """Wait until it prints its address; raises ``RuntimeError`` when it ends instead."""
        assert self._process.stdout is not None
        with _limited(self._process, _COMMAND_SECONDS):
            self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(f"codex-langfuse relay ended with status {self._process.wait()}")

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop it, and wait until it has delivered what it can."""
        if self._process.poll() is None:
            # On Windows SIGTERM would be a kill.
            self._process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))
        with _limited(self._process, _COMMAND_SECONDS):
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _keys(authorization: str) -> dict[str, str]:
    """Return the variables for the two keys that an ``Authorization`` header was made of."""
    pair = base64.b64decode(authorization.removeprefix("Basic ")).decode("utf-8", "replace")
    public_key, _, secret_key = pair.partition(":")
    return {"LANGFUSE_PUBLIC_KEY": public_key, "LANGFUSE_SECRET_KEY": secret_key}


@contextmanager
def _limited(process: "subprocess.Popen[str]", seconds: float) -> Iterator[None]:
    """Kill ``process`` if the block takes longer."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def a_stage(folder: Path, codex: Path, real: Access | None, seconds: float) -> Iterator[Stage]:
    """Set up a stage in an empty ``folder``, and take it down at the end.

    Args:
        folder: where everything goes.
        codex: the program.
        real: the tester's Langfuse, None for only the mock.
        seconds: how long to wait at most until a Langfuse shows what it took.

    Raises:
        OSError: a server cannot listen, or git is not there.
        verify.layers.LayerError: the environment names a proxy that cannot be used.
    """
    with ExitStack() as stack:
        stack.enter_context(_reaching_this_machine_directly())
        mock = stack.enter_context(running_mock())
        model = stack.enter_context(running_scripted_model())
        wire = stack.enter_context(running_wire(folder, Wire))
        authorization = basic_authorization(mock.public_key, mock.secret_key)
        connection = stack.enter_context(LangfuseConnection(mock.url, authorization))
        real_reading = None
        if real is not None:
            to_real = stack.enter_context(LangfuseConnection(real.base_url.url, real.authorization))
            real_reading = Reading(to_real, seconds)
        yield Stage(
            folder=folder,
            codex=IsolatedCodex(
                folder / "codex", model_url=model.base_url, environment=wire.environment, binary=codex
            ),
            model=model,
            wire=wire,
            mock=mock,
            mock_reading=Reading(connection, seconds),
            real=real,
            real_reading=real_reading,
            run_id=secrets.token_hex(3),
        )


@contextmanager
def _reaching_this_machine_directly() -> Iterator[None]:
    """Keep a proxy in the environment from being asked for what runs on this machine."""
    earlier = {name: os.environ.get(name) for name in ("NO_PROXY", "no_proxy")}
    for name, value in earlier.items():
        os.environ[name] = ",".join(filter(None, (value, "127.0.0.1")))
    try:
        yield
    finally:
        for name, value in earlier.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
