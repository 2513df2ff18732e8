"""The three ways in which people run Codex: ``codex exec``, its terminal interface, an editor's app-server.

Each takes one turn and returns when Codex has sent its telemetry. What is replaced for the test is in the
configuration file: with a setting on the command line Codex does not leave a terminal's turn to its daemon.
"""

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from codex_langfuse.codex.isolated import IsolatedCodex, run_in_group

PROMPT = "Say hello."

_SECONDS = 60

#: What a terminal answers when it is asked: where its cursor is, what it is, its colours, its keyboard.
_ANSWERS = {
    b"\x1b[6n": b"\x1b[1;1R",
    b"\x1b[c": b"\x1b[?62;22c",
    b"\x1b]10;?": b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\",
    b"\x1b]11;?": b"\x1b]11;rgb:0000/0000/0000\x1b\\",
    b"\x1b[?u": b"\x1b[?0u",
}


def by_exec(codex: IsolatedCodex, done: Callable[[], bool]) -> None:
    """Take a turn by ``codex exec``."""
    run = run_in_group(
        [codex.binary, "exec", PROMPT], cwd=codex.workspace, environment=codex.environment, timeout=_SECONDS
    )
    assert run.returncode == 0, run.stderr


def by_terminal(codex: IsolatedCodex, done: Callable[[], bool]) -> None:
    """Take a turn in the terminal interface, which leaves it to the daemon; quit when it is ``done``."""
    log_in: list[str | Path] = [codex.binary, "login", "--with-api-key"]
    run_in_group(log_in, cwd=codex.workspace, environment=codex.environment, stdin="invented")
    installed = codex.codex_home / "packages/app-server-daemon"
    installed.mkdir(parents=True, exist_ok=True)
    if not (installed / "current").exists():
        (installed / "current").symlink_to(codex.binary.resolve().parents[1])
    stop: list[str | Path] = [codex.binary, "app-server", "daemon", "stop"]
    try:
        with _terminal(codex) as terminal:
            terminal.wait_for(lambda: b"Codex to do anything" in terminal.shown and terminal.is_still)
            terminal.type(PROMPT.encode())
            terminal.wait_for(lambda: PROMPT.split()[0].encode() in terminal.shown and terminal.is_still)
            terminal.type(b"\r")
            terminal.wait_for(done)
            terminal.wait_for(lambda: terminal.is_still)
            terminal.type(b"\x03")
            terminal.wait_for(lambda: terminal.has_ended or terminal.is_still)
            terminal.type(b"\x03")
    finally:
        stopped = run_in_group(stop, cwd=codex.workspace, environment=codex.environment)
    assert json.loads(stopped.stdout)["status"] == "stopped", "the turn was not left to the daemon"


def by_app_server(codex: IsolatedCodex, done: Callable[[], bool]) -> None:
    """Take a turn as an editor does."""
    with app_server(codex, {}) as ask:
        ask("initialize", {"clientInfo": {"name": "codex_vscode", "title": "test", "version": "1"}})
        thread = ask("thread/start", {})["thread"]["id"]
        said = [{"type": "text", "text": PROMPT}]
        ask("turn/start", {"threadId": thread, "input": said}, wait="turn/completed")


@contextmanager
def app_server(
    codex: IsolatedCodex, environment: Mapping[str, str]
) -> Iterator[Callable[..., dict[str, Any]]]:
    """Run ``codex app-server`` and yield what asks it: a method, its parameters, the notice to wait for.

    ``trace`` is the W3C context of the span that asks.
    """
    process = subprocess.Popen(
        [*codex.command, "app-server"],
        cwd=codex.workspace,
        env={**codex.environment, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin and stdout
    number = 0

    def send(message: Mapping[str, Any]) -> None:
        stdin.write(json.dumps(message) + "\n")
        stdin.flush()

    def ask(
        method: str,
        parameters: Mapping[str, Any],
        *,
        wait: str = "",
        trace: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        nonlocal number
        number += 1
        context = {"trace": trace} if trace else {}
        send({"id": number, "method": method, "params": parameters, **context})
        result = _answer(stdout, number, wait)
        if method == "initialize":
            send({"method": "initialized"})
        return result

    try:
        yield ask
        stdin.close()
        assert process.wait(timeout=_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        stdout.close()


def _answer(lines: IO[str], number: int, wait: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for line in lines:
        message = json.loads(line)
        if message.get("id") == number and "method" not in message:
            assert "error" not in message, message
            result = message["result"]
            if not wait:
                break
        if wait and message.get("method") == wait:
            break
    return result


class _Terminal:
    """A terminal of 120 columns in which a program runs; ``shown`` is all it printed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._last = time.monotonic()
        self.shown = b""
        self.has_ended = False

    @property
    def is_still(self) -> bool:
        """Whether nothing was printed for a while."""
        return time.monotonic() - self._last > 0.7

    def type(self, text: bytes) -> None:
        with suppress(OSError):
            os.write(self._descriptor, text)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _SECONDS
        while not (condition() or self.has_ended):
            assert time.monotonic() < deadline, self.shown[-2000:].decode(errors="replace")
            self._read()

    def _read(self) -> None:
        if not select.select([self._descriptor], [], [], 0.05)[0]:
            return
        try:
            printed = os.read(self._descriptor, 65536)
        except OSError:
            printed = b""
        self.has_ended = not printed
        self._last = time.monotonic()
        self.shown += printed
        for question, answer in _ANSWERS.items():
            if question in printed:
                self.type(answer)


@contextmanager
def _terminal(codex: IsolatedCodex) -> Iterator[_Terminal]:
    inside, outside = pty.openpty()
    fcntl.ioctl(outside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [codex.binary],
        cwd=codex.workspace,
        env={**codex.environment, "TERM": "xterm-256color"},
        stdin=outside,
        stdout=outside,
        stderr=outside,
        start_new_session=True,
    )
    os.close(outside)
    terminal = _Terminal(inside)
    try:
        yield terminal
        terminal.wait_for(lambda: process.poll() is not None)
    finally:
        process.kill()
        process.wait()
        os.close(inside)
