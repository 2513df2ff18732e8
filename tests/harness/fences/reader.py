"""Somebody who follows one page: a machine, a terminal, Codex, and a Langfuse to send to.

Nothing they do leaves the machine. ``https://cloud.langfuse.com`` is the mock, behind a proxy that
speaks TLS as that host; Codex's model is the scripted one.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pytest_examples import CodeExample

from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.codex.scripted_model import (
    COMMAND_OF_PROMPT,
    Message,
    Scenario,
    ScriptedModel,
    ToolCall,
    running_scripted_model,
)
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.mock.visibility import DELAYED
from codex_langfuse.testplan.certificates import PrivateAuthority
from harness.fences.checkout import GIT
from harness.fences.scanner import ROOT
from harness.fences.terminal import Printed, Terminal
from harness.proxy import LANGFUSE_HOSTS, TlsProxy, tls_proxy
from harness.stand_ins import PROGRAMS, STATE, Routes, downloads

# The turn that a `codex exec` on a page takes: one command, then the answer.
TURN = Scenario((ToolCall("exec_command", {"cmd": COMMAND_OF_PROMPT}), Message("Hello.")))

# Where pages have a Langfuse of their own; the mock answers there too.
SELF_HOSTED = ("localhost:3000", "langfuse.example.com")

# One more, behind a private authority. It lets in only who shows a certificate, which is in FILES.
PRIVATE = "langfuse.internal.example.com"

# A provider of models that a page names; the scripted model answers there too.
PROVIDER = "gateway.example.com"
FILES = ".config/codex-langfuse"


@dataclass
class Reader:
    """The reader of one page, and what the last fence printed."""

    codex: IsolatedCodex
    terminal: Terminal
    mock: RunningMock
    proxy: TlsProxy
    model: ScriptedModel
    last: Printed = field(default_factory=lambda: Printed(0, ""))
    renewals: list[CodeExample] | None = None
    """Where executors put fences with the output as it is now, instead of comparing; None to compare."""

    def pause(self) -> None:
        """Wait until Langfuse shows what it took: from one fence to the next, a person takes longer."""
        taken = [each.received for each in self.mock.store.requests if each.project_id is not None]
        shown = max(taken, default=0) / 1000 + DELAYED.observations + 0.1
        time.sleep(max(0.0, shown - time.time()))

    def type(self, text: str, answers: Sequence[str] = ()) -> None:
        """Run what a fence says; ``answers`` are typed when asked. The model counts turns from one."""
        self.model.play(TURN)
        self.mock.store.rows()  # By now Langfuse has read what it took; whoever asks it does not wait.
        self.last = self.terminal.run(text, answers)


@contextmanager
def a_reader(
    folder: Path, codex_binary: Path | None = None, collector: str | None = None
) -> Iterator[Reader]:
    """Make a reader with a machine of their own in ``folder``, and stop all of it at the end.

    Args:
        folder: an empty folder.
        codex_binary: the Codex to use; by default the one that is installed.
        collector: the program that is ``otelcol`` on their PATH.

    Raises:
        CodexNotFoundError: none given, and the real Codex is not installed.
    """
    state = folder / "stand-ins"
    langfuse = running_mock(visibility=DELAYED)
    with langfuse as mock, running_scripted_model(TURN) as model, downloads() as served:
        hosts = dict.fromkeys((*LANGFUSE_HOSTS, *SELF_HOSTED, PRIVATE), mock.url)
        provider = {PROVIDER: model.base_url.removesuffix("/v1")}
        routes = Routes({**hosts, **provider, **served}, state)
        authority = PrivateAuthority()
        with tls_proxy(routes, direct_hosts=["127.0.0.1"], private={PRIVATE: authority}) as proxy:
            codex = IsolatedCodex(
                folder, model_url=model.base_url, environment=_environment(proxy, state), binary=codex_binary
            )
            authority.hand_out(codex.home / FILES)
            if collector is not None:
                (codex.bin / "otelcol").symlink_to(collector)
            terminal = Terminal(folder / "memory", codex.home, codex.workspace, codex.environment)
            try:
                yield Reader(codex, terminal, mock, proxy, model)
            finally:
                terminal.close()


def _environment(proxy: TlsProxy, state: Path) -> dict[str, str]:
    others = map(Path, os.environ["PATH"].split(os.pathsep))
    programs = [PROGRAMS, ROOT / "scripts", ROOT / ".venv" / "bin", *others]
    path = os.pathsep.join(map(str, programs))
    return {
        **proxy.environment,
        **GIT,
        "PATH": path,
        "PYTHONPATH": str(PROGRAMS.with_name("python")),
        "TERM": "dumb",
        STATE: str(state),
    }
