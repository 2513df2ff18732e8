"""Someone at the page's terminal who types an answer whenever a program waits for one."""

import os
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Seconds that a prompt is there before someone answers it; that one without words is.
_READS, _WONDERS = 0.3, 1.5


class Person:
    """Types ``answers`` in turn at the terminal whose other end is ``master``.

    A program waits for an answer when it has switched the echo off (a secret), when what it printed to
    ``transcript`` ends in the middle of a line and stays so (a prompt), or when it prints nothing at all.
    """

    def __init__(self, master: int, transcript: Path, answers: Sequence[str]) -> None:
        self._master, self._transcript, self._answers = master, transcript, list(answers)

    def type_until(self, ended: Callable[[], bool], deadline: float) -> None:
        """Answer until ``ended``, there is no answer left, or the time of ``time.monotonic`` is over."""
        answered: tuple[bool, int] | None = None
        seen, since = self._state(), time.monotonic()
        while self._answers and not ended() and time.monotonic() < deadline:
            time.sleep(0.02)
            now = self._state()
            if now != seen:
                seen, since = now, time.monotonic()
            elif self._waits(now, time.monotonic() - since, now == answered):
                os.write(self._master, self._answers.pop(0).encode() + b"\n")
                answered, since = now, time.monotonic()

    def _state(self) -> tuple[bool, int]:
        """Return whether the terminal echoes, and how much was printed."""
        echoes = bool(termios.tcgetattr(self._master)[3] & termios.ECHO)
        return echoes, self._transcript.stat().st_size

    def _waits(self, state: tuple[bool, int], seconds: float, again: bool) -> bool:
        echoes, printed = state
        prompts = not echoes or (printed > 0 and not self._transcript.read_bytes().endswith(b"\n"))
        if prompts and not again:
            return seconds > _READS
        return (prompts or printed == 0) and seconds > _WONDERS
