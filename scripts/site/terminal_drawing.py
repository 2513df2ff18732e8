"""Draw what happens in a terminal as one animated SVG: only CSS, no script, no font, no request.

Captions are above the terminal, in the reader's language; the terminal is the same in every language. All
that moves is declared for readers who do not mind motion. Without it, the drawing is its last frame.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

SECONDS = 45
"""How long it plays: the pace below is stretched or pressed to that."""

COLUMNS, ROWS = 100, 22
CELL, ROW = 8.4, 20
"""A cell's width and height in px. Each line is told its width, so that it fits whatever font there is."""

MARGIN, PADDING = 16, 14
LINE = 22
CAPTION_COLUMNS = 108
"""In Latin letters of average width; a Chinese character takes two."""

# The pace, before it is fitted to SECONDS.
TYPED = 80  # characters a second: people paste
READ = 20  # characters a second, of captions
BEFORE, BETWEEN, ENTERED, PASTED, LAST = 0.7, 0.15, 0.4, 1.2, 1.5  # seconds

CONTROLS: dict[str, dict[str, str]] = tomllib.loads(
    Path(__file__).with_suffix(".words.toml").read_text(encoding="utf-8")
)
"""Links, since there is no script: CSS sees which part of the drawing the address names."""

_STYLE = Path(__file__).with_suffix(".css")


@dataclass(frozen=True)
class Caption:
    """The caption above the terminal: a heading, and a sentence or two."""

    heading: str
    text: str


@dataclass(frozen=True)
class Command:
    """What is typed, of one line or several, and what is printed.

    ``asks``: it waits for something to be pasted, and does not show it.
    """

    typed: str
    printed: str
    asks: bool = False


@dataclass(frozen=True)
class File:
    """A file that the reader writes: its name and its text."""

    title: str
    text: str


@dataclass(frozen=True)
class Scene:
    """One step, with its captions by language."""

    captions: Mapping[str, Caption]
    shows: Sequence[Command] | File


@dataclass(frozen=True)
class DrawnTexts:
    """What the drawing says around its scenes, in its language."""

    language: str
    title: str
    end: str
    versions: str


@dataclass(frozen=True)
class _Piece:
    """A row of text, or a part of one. Times are in seconds; ``lasts`` 0 is there at once."""

    kind: str
    text: str
    row: int
    column: int
    at: float
    lasts: float = 0


@dataclass
class _Reel:
    """What has been shown so far: the time, the row that is written on, and all that moved."""

    now: float = 0
    row: int = 0
    pieces: list[_Piece] = field(default_factory=list)
    cursor: list[tuple[float, int, int, int]] = field(default_factory=list)
    """When it is where (row, column), and in how many steps it goes on from there (0: it jumps)."""
    scrolled: list[tuple[float, int]] = field(default_factory=lambda: [(0, 0)])
    captions: list[float] = field(default_factory=list)

    def next_row(self) -> None:
        self.row += 1
        if self.row >= ROWS:
            self.scrolled.append((self.now, self.row - ROWS + 1))

    def prompt(self, sign: str) -> None:
        self.pieces.append(_Piece("prompt", sign, self.row, 0, self.now))
        self.cursor.append((self.now, self.row, 2, 0))

    def type(self, line: str) -> None:
        """Type one line after its prompt, and press Enter."""
        column = 2
        for number, text in enumerate(_cut(line, column)):
            if number:
                self.next_row()
                column = 0
            lasts = len(text) / TYPED
            self.pieces.append(
                _Piece("typed more" if number else "typed", text, self.row, column, self.now, lasts)
            )
            self.cursor.append((self.now, self.row, column, len(text)))
            self.now += lasts
            self.cursor.append((self.now, self.row, column + len(text), 0))
        self.now += BETWEEN
        self.next_row()
        self.cursor.append((self.now, self.row, 0, 0))

    def print(self, kind: str, line: str) -> None:
        """Print one line, and go to the next."""
        for number, text in enumerate(_cut(line)):
            self.pieces.append(_Piece(f"{kind} more" if number else kind, text, self.row, 0, self.now))
            self.next_row()
        self.cursor.append((self.now, self.row, 0, 0))


def drawing(scenes: Sequence[Scene], words: DrawnTexts) -> str:
    """Return the SVG that shows ``scenes``. Nothing but captions and ``words`` depends on the language."""
    reel = _played(scenes)
    pace = SECONDS / reel.now
    captions = [scene.captions[words.language] for scene in scenes]
    captions.append(Caption(captions[-1].heading, words.end))
    lines = max(len(_wrapped(caption.text)) for scene in scenes for caption in scene.captions.values())
    width = 2 * (MARGIN + PADDING) + COLUMNS * CELL
    top = MARGIN + 36 + lines * LINE
    height = 2 * PADDING + ROWS * ROW
    foot = top + height + 12
    across = _n(width - 2 * MARGIN)
    moves = _keyframes("scroll", [(at * pace, 0, -rows * ROW, 0) for at, rows in reel.scrolled])
    moves += _keyframes(
        "move", [(at * pace, _x(col), row * ROW, steps) for at, row, col, steps in reel.cursor]
    )
    last_row, last_column = reel.cursor[-1][1:3]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(width)} {foot + 46}" '
            f'lang="{words.language}" xml:space="preserve" style="--plays:{SECONDS}s" '
            'role="graphics-document document" '
            'aria-labelledby="title" aria-describedby="transcript">',
            f'<title id="title">{escape(words.title)}</title>',
            f'<desc id="transcript">{escape(_transcript(scenes, words))}</desc>',
            f"<style>{_STYLE.read_text(encoding='utf-8')}{moves}</style>",
            '<g id="pause"><g id="last">',
            '<g class="captions" aria-hidden="true">',
            *_captions(captions, [at * pace for at in reel.captions]),
            "</g>",
            '<g class="terminal" aria-hidden="true">',
            f'<rect class="paper" rx="8" x="{MARGIN}" y="{top}" width="{across}" height="{height}"/>',
            f'<svg x="{MARGIN}" y="{top + PADDING}" width="{across}" height="{ROWS * ROW}">',
            f'<g class="scrolled" transform="translate(0 {-reel.scrolled[-1][1] * ROW})">',
            *(_drawn(piece, pace) for piece in reel.pieces),
            f'<rect class="cursor" width="{CELL}" height="{ROW - 2}" y="1" opacity=".75" '
            f'transform="translate({_n(_x(last_column))} {last_row * ROW})"/>',
            "</g>",
            "</svg>",
            "</g>",
            f'<rect class="progress" x="{MARGIN}" y="{foot - 8}" width="{across}" height="3"/>',
            f'<text class="versions" x="{_n(width - MARGIN)}" y="{foot + 24}" text-anchor="end">'
            f"{escape(words.versions)}</text>",
            '<g class="controls">',
            *_controls(words.language, foot + 4),
            "</g>",
            "</g></g>",
            "</svg>",
            "",
        ]
    )


def _played(scenes: Sequence[Scene]) -> _Reel:
    reel = _Reel()
    reel.prompt("$")
    for number, scene in enumerate(scenes, 1):
        began = reel.now
        reel.captions.append(began)
        if isinstance(scene.shows, File):
            _write(reel, scene.shows)
        else:
            _type(reel, scene.shows)
        if not (number < len(scenes) and isinstance(scenes[number].shows, File)):
            reel.prompt("$")
        reel.now = max(reel.now, began + len(scene.captions["en"].text) / READ)
    reel.captions.append(reel.now)
    reel.now += LAST
    return reel


def _type(reel: _Reel, commands: Sequence[Command]) -> None:
    """Show the commands, the first of them behind the prompt that is there."""
    reel.now += BEFORE
    for number, command in enumerate(commands):
        if number:
            reel.prompt("$")
        first, *others = command.typed.splitlines()
        reel.type(first)
        for line in others:
            reel.prompt(">")
            reel.type(line)
        reel.now += PASTED if command.asks else ENTERED
        for line in command.printed.splitlines():
            reel.print("printed", line)
        reel.now += len(command.printed) / READ / 2


def _write(reel: _Reel, file: File) -> None:
    """Show a file as it is pasted, line by line, with a row of nothing around it."""
    reel.next_row()
    reel.print("title", file.title)
    reel.now += BEFORE
    for line in file.text.splitlines():
        reel.print("file", line)
        reel.now += BETWEEN / 2
    reel.next_row()
    reel.now += len(file.text) / READ / 6


def _cut(line: str, first_column: int = 0) -> list[str]:
    """Cut a line where the terminal's edge is."""
    room = COLUMNS - first_column
    rest = line[room:]
    return [line[:room], *(rest[start : start + COLUMNS] for start in range(0, len(rest), COLUMNS))]


def _drawn(piece: _Piece, pace: float) -> str:
    x, y = _n(_x(piece.column)), piece.row * ROW
    at = f"--at:{_n(piece.at * pace)}s"
    sheet = ""
    if piece.kind.split()[0] in {"title", "file"}:
        room = _n(COLUMNS * CELL + 2 * PADDING - 1)
        # A little higher than its row: no seam shows between two of them.
        sheet = f'<rect class="sheet later" x=".5" y="{y}" width="{room}" height="{ROW + 0.5}" style="{at}"/>'
    if not piece.text:
        return sheet
    names, style = f"{piece.kind} later", at
    if piece.lasts:
        names, style = piece.kind, f"{at};--lasts:{_n(piece.lasts * pace)}s;--steps:{len(piece.text)}"
    place = f'x="{x}" y="{y + 15}" textLength="{_n(len(piece.text) * CELL)}"'
    text = _coloured(piece.text) if piece.kind.startswith("file") else escape(piece.text)
    return f'{sheet}<text class="{names}" {place} style="{style}">{text}</text>'


def _coloured(toml: str) -> str:
    """Return a line of TOML with its remark and the name of a table in their colours."""
    found = re.match(r"""(?:[^"#]|"[^"]*")*""", toml)
    code = found[0] if found else ""
    remark = toml[len(code) :]
    parts = [f'<tspan class="table">{escape(code)}</tspan>' if code.startswith("[") else escape(code)]
    if remark:
        parts.append(f'<tspan class="remark">{escape(remark)}</tspan>')
    return "".join(parts)


def _captions(captions: Sequence[Caption], starts: Sequence[float]) -> Iterator[str]:
    for number, caption in enumerate(captions):
        last = number == len(captions) - 1
        style = f"--at:{_n(starts[number])}s"
        if not last:
            style += f";--lasts:{_n(starts[number + 1] - starts[number])}s"
        yield f'<g class="caption{" last" if last else ""}" style="{style}">'
        yield f'<text class="heading" x="{MARGIN}" y="{MARGIN + 20}">{escape(caption.heading)}</text>'
        for line, text in enumerate(_wrapped(caption.text), 1):
            yield f'<text x="{MARGIN}" y="{MARGIN + 22 + line * LINE}">{escape(text)}</text>'
        yield "</g>"


def _controls(language: str, y: float) -> Iterator[str]:
    x = MARGIN
    for target, name in CONTROLS[language].items():
        width = 24 + 7 * _columns(name)
        yield (
            f'<a href="{target or f"quickstart.{language}.svg"}">'
            f'<rect x="{x}" y="{y}" width="{width}" height="30" rx="5"/>'
            f'<text x="{x + width / 2}" y="{y + 20}" text-anchor="middle">{name}</text></a>'
        )
        x += width + 8


def _transcript(scenes: Sequence[Scene], words: DrawnTexts) -> str:
    """Return all of it as text: what is said, what is typed after ``$`` and ``>``, what is printed."""
    lines = [words.versions]
    heading = ""
    for scene in scenes:
        caption = scene.captions[words.language]
        if caption.heading != heading:
            heading = caption.heading
            lines += ["", heading]
        lines += ["", caption.text]
        if isinstance(scene.shows, File):
            lines += [scene.shows.title, *scene.shows.text.splitlines()]
            continue
        for command in scene.shows:
            first, *others = command.typed.splitlines()
            lines += [f"$ {first}", *(f"> {line}" for line in others), *command.printed.splitlines()]
    return "\n".join([*lines, "", words.end])


def _keyframes(name: str, stops: Sequence[tuple[float, float, float, int]]) -> str:
    """Return a CSS animation through ``stops``: seconds, x, y, and the steps it goes on in (0: it jumps)."""
    at_percent: dict[str, str] = {}
    for seconds, x, y, steps in stops:
        timing = f"animation-timing-function:steps({steps});" if steps else ""
        at_percent[f"{_n(100 * seconds / SECONDS, 3)}%"] = (
            f"{{{timing}transform:translate({_n(x)}px,{_n(y)}px)}}"
        )
    return (
        f"@keyframes {name} {{\n{''.join(f'{percent}{where}' for percent, where in at_percent.items())}\n}}\n"
    )


def _wrapped(text: str) -> list[str]:
    """Break a caption into lines: between words, or between two Chinese characters."""
    lines = [""]
    for part in re.findall(r"(?:[!-~…]+|[^\s])[，。：；？！、）」]*|\s+", text):
        if _columns(lines[-1] + part.rstrip()) > CAPTION_COLUMNS:
            lines[-1] = lines[-1].rstrip()
            lines.append("")
        lines[-1] += part if lines[-1] else part.lstrip()
    return lines


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _x(column: int) -> float:
    return PADDING + column * CELL


def _n(value: float, digits: int = 2) -> str:
    """Return a number as short as it can be written."""
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")
