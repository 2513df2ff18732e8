"""From the bytes of a configuration file to its text and back, every byte of an unchanged line the same."""

import difflib
import re
from dataclasses import dataclass

_MARK = "\ufeff"


@dataclass(frozen=True)
class Encoded:
    """What a file's bytes hold in addition to its text: a byte order mark, and the line ends of each line."""

    mark: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The text with only a line feed at the end of each line."""
        return "".join(self.lines).replace("\r\n", "\n")

    def with_text(self, text: str) -> bytes:
        """Return the bytes of the file with ``text`` in place of its own.

        A line that is in both keeps its line end; a new one gets the line end that most lines have.
        """
        plain = [line.replace("\r\n", "\n") for line in self.lines]
        new = _lines(text)
        windows = sum(line.endswith("\r\n") for line in self.lines) * 2 > len(self.lines)
        result: list[str] = []
        matcher = difflib.SequenceMatcher(None, plain, new)
        for what, start, end, new_start, new_end in matcher.get_opcodes():
            if what == "equal":
                result += self.lines[start:end]
            elif windows:
                result += [line.replace("\n", "\r\n") for line in new[new_start:new_end]]
            else:
                result += new[new_start:new_end]
        return (self.mark + "".join(result)).encode()


def decoded(content: bytes) -> Encoded:
    """Read a file's bytes; raises ``UnicodeDecodeError`` (as Codex refuses them) when they are not UTF-8."""
    text = content.decode("utf-8")
    mark = _MARK if text.startswith(_MARK) else ""
    return Encoded(mark, tuple(_lines(text[len(mark) :])))


def _lines(text: str) -> list[str]:
    # Not str.splitlines, which also splits at characters that TOML takes for ordinary ones.
    return re.findall(r"[^\n]*\n|[^\n]+", text)
