"""A program at a pseudo-terminal, and someone who reads its prompts and types."""

import fcntl
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

_SECONDS = 60


@dataclass
class Teletype:
    """A running program: its standard input and error are the terminal, its standard output is a pipe."""

    process: subprocess.Popen[bytes]
    master: int
    shown: str = field(default="")

    def wait_for(self, text: str, *, after: int = 0) -> int:
        """Read the terminal until it shows ``text``; returns the place behind it."""
        deadline = time.monotonic() + _SECONDS
        while text not in self.shown[after:]:
            assert time.monotonic() < deadline, f"no {text!r} in {self.shown!r}"
            if not self._read():
                raise AssertionError(f"the program ended without {text!r}: {self.shown!r}")
        return self.shown.index(text, after) + len(text)

    def type(self, text: str) -> None:
        """Press the keys."""
        os.write(self.master, text.encode())

    def finish(self) -> tuple[int, str]:
        """Wait for the end; returns the exit status and standard output."""
        deadline = time.monotonic() + _SECONDS
        while self._read():
            assert time.monotonic() < deadline, f"still running: {self.shown!r}"
        assert self.process.stdout
        output = self.process.stdout.read().decode()
        return self.process.wait(_SECONDS), output

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.master], [], [], 0.1)
        if ready:
            try:
                part = os.read(self.master, 65536)
            except OSError:  # Linux: the program has closed the terminal.
                return False
            self.shown += part.decode()
            return bool(part)
        return self.process.poll() is None


@contextmanager
def at_a_terminal(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Teletype]:
    """Run ``command`` at a terminal of its own, as a person would."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
        env=dict(environment),
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    # The terminal stays open here, so that its settings can be looked at once the program has ended.
    try:
        yield Teletype(process, master)
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
        os.close(slave)
        os.close(master)
