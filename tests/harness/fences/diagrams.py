"""Read a diagram, drawn with Mermaid or with plain characters, as the graph that it says.

In plain characters a box is drawn with ``+``, ``-`` and ``|``, and its text is inside. A box around boxes
is a group; its name is in its upper edge. An arrow begins at the edge of a box, turns at ``+``, and ends
with ``>``, ``<``, ``v`` or ``^`` at the edge of another. What it carries is in a horizontal part of it
(``-- traces -->``), or right beside a vertical one (``| traces``):

    +- machine -----------+
    | +-------+           |           +----------+
    | | Codex |-- traces ------------>| Langfuse |
    | +-------+           |           +----------+
    +---------------------+

A sequence is read by columns: each participant is a box, a line of ``|`` goes down from it, and an arrow
between two such lines is a message. Arrows may cross the edge of a group and the lines of participants.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

Edge = tuple[str, str, str]


@dataclass
class Graph:
    """What a diagram says: nodes by their text, the group of each, arrows as (from, text, to)."""

    nodes: set[str] = field(default_factory=set)
    groups: set[tuple[str, str]] = field(default_factory=set)
    edges: Counter[Edge] = field(default_factory=Counter)
    sequence: list[Edge] = field(default_factory=list)

    def difference(self, other: "Graph") -> str:
        """Return what is in one of the two diagrams only, a line each; empty when they say the same."""
        lines = []
        for what in ("nodes", "groups"):
            mine, theirs = getattr(self, what), getattr(other, what)
            lines += [f"{what}, in the first only: {entry}" for entry in sorted(mine - theirs)]
            lines += [f"{what}, in the second only: {entry}" for entry in sorted(theirs - mine)]
        lines += [f"arrow, in the first only: {edge}" for edge in sorted(self.edges - other.edges)]
        lines += [f"arrow, in the second only: {edge}" for edge in sorted(other.edges - self.edges)]
        if not lines and self.sequence != other.sequence:
            lines.append(f"the order of messages differs: {self.sequence} and {other.sequence}")
        return "\n".join(lines)


class DiagramError(ValueError):
    """A diagram that cannot be read; the message says where."""


# --- Mermaid ---

_SUBGRAPH = re.compile(r"subgraph (?P<id>\w+)(?: \[(?P<text>[^\]]*)\])?")
_NODE = re.compile(
    r"""(?P<id>\w+)(?:(?:\[\(|\(\[|\[)"?(?P<text>[^"\[\]()]*(?:\([^)]*\))?[^"\[\]()]*)"?(?:\)\]|\]\)|\]))?"""
)
_EDGE = re.compile(
    r"(?P<a>\w+) (?:-->|-\.->|-- \"(?P<solid>[^\"]*)\" -->|-\. \"(?P<dotted>[^\"]*)\" \.->) (?P<b>\w+)"
)
_PARTICIPANT = re.compile(r"participant (?P<id>\w+) as (?P<text>.+)")
_MESSAGE = re.compile(r"(?P<a>\w+)-{1,2}>>(?P<b>\w+): (?P<text>.+)")


def read_mermaid(source: str) -> Graph:
    """Read a ``flowchart`` or a ``sequenceDiagram`` of the kinds of lines that the pages use.

    Raises:
        DiagramError: a line of another kind.
    """
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("accTitle:", "accDescr:", "direction "))]
    if lines[0] == "sequenceDiagram":
        return _sequence_of(lines[1:])
    return _flowchart_of(lines[1:])


def _flowchart_of(lines: list[str]) -> Graph:
    graph, texts, around = Graph(), {}, []
    edges = []
    for line in lines:
        if subgraph := _SUBGRAPH.fullmatch(line):
            around.append(_plain(subgraph["text"] or subgraph["id"]))
        elif line == "end":
            around.pop()
        elif edge := _EDGE.fullmatch(line):
            edges.append((edge["a"], edge["solid"] or edge["dotted"] or "", edge["b"]))
        elif node := _NODE.fullmatch(line):
            texts[node["id"]] = _plain(node["text"] or node["id"])
            graph.groups |= {(texts[node["id"]], group) for group in around[-1:]}
        else:
            raise DiagramError(f"not a line that is understood: {line}")
    graph.nodes = set(texts.values())
    unknown = {end for a, _, b in edges for end in (a, b)} - texts.keys()
    if unknown:
        raise DiagramError(f"arrows to nodes that are not declared: {sorted(unknown)}")
    graph.edges = Counter((texts[a], _plain(text), texts[b]) for a, text, b in edges)
    return graph


def _sequence_of(lines: list[str]) -> Graph:
    graph, texts = Graph(), {}
    for line in lines:
        if participant := _PARTICIPANT.fullmatch(line):
            texts[participant["id"]] = _plain(participant["text"])
        elif message := _MESSAGE.fullmatch(line):
            graph.sequence.append((texts[message["a"]], _plain(message["text"]), texts[message["b"]]))
        else:
            raise DiagramError(f"not a line that is understood: {line}")
    graph.nodes, graph.edges = set(texts.values()), Counter(graph.sequence)
    return graph


def _plain(text: str) -> str:
    return " ".join(text.replace("<br/>", " ").split())


# --- plain characters ---

_HEADS = {">": (1, 0), "<": (-1, 0), "v": (0, 1), "^": (0, -1)}


@dataclass(frozen=True)
class _Box:
    left: int
    top: int
    right: int
    bottom: int

    def encloses(self, other: "_Box") -> bool:
        return (
            self.left < other.left
            and other.right < self.right
            and self.top < other.top
            and other.bottom < self.bottom
        )

    def on_edge(self, x: int, y: int) -> bool:
        across = self.left <= x <= self.right and y in (self.top, self.bottom)
        return across or (self.top <= y <= self.bottom and x in (self.left, self.right))


def read_ascii(drawing: str) -> Graph:
    """Read a drawing of boxes and arrows, or of a sequence.

    Raises:
        DiagramError: something that is neither, or an arrow that does not lead from a box to a box.
    """
    if not drawing.isascii():
        odd = sorted({letter for letter in drawing if not letter.isascii()})
        raise DiagramError(f"these take two columns in some terminals: {odd}")
    lines = drawing.splitlines()
    width = max(map(len, lines))
    return _Drawing([line.ljust(width) for line in lines]).graph()


class _Drawing:
    def __init__(self, rows: list[str]) -> None:
        self._rows = rows
        found = [box for y in range(len(rows)) for box in self._boxes_below(y)]
        self._groups = [box for box in found if any(box.encloses(other) for other in found)]
        self._boxes = [box for box in found if box not in self._groups]
        self._seen: set[tuple[int, int]] = set()

    def graph(self) -> Graph:
        lifelines = self._lifelines()
        if len(lifelines) == len(self._boxes) > 1:
            return self._sequence(lifelines)
        graph = Graph(nodes={self._text(box) for box in self._boxes})
        for box in self._boxes:
            around = [group for group in self._groups if group.encloses(box)]
            if around:
                inmost = min(around, key=lambda group: group.right - group.left)
                graph.groups.add((self._text(box), self._name(inmost)))
        for box in self._boxes:
            for x, y, dx, dy in self._outside(box):
                begins = self._at(x, y) == ("-" if dx else "|")
                if begins and (x, y) not in self._seen:
                    text, target = self._follow(x, y, dx, dy)
                    graph.edges[self._text(box), text, self._text(target)] += 1
        self._nothing_left_over()
        return graph

    def _at(self, x: int, y: int) -> str:
        inside = 0 <= y < len(self._rows) and 0 <= x < len(self._rows[0])
        return self._rows[y][x] if inside else " "

    def _boxes_below(self, top: int) -> list[_Box]:
        """Return the boxes whose upper edge is in row ``top``."""
        boxes = []
        for left, letter in enumerate(self._rows[top]):
            if letter != "+" or self._at(left, top + 1) != "|":
                continue
            edge = re.match(r"\+-(?:[^+|]*-)?\+", self._rows[top][left:])
            right = left + edge.end() - 1 if edge else -1
            if edge is None or self._at(right, top + 1) not in "|-":
                continue
            bottom = next((y for y in range(top + 1, len(self._rows)) if self._at(left, y) == "+"), None)
            if (
                bottom
                and self._at(right, bottom) == "+"
                and set(self._rows[bottom][left : right + 1]) <= set("+-|v^")
            ):
                boxes.append(_Box(left, top, right, bottom))
        return boxes

    def _text(self, box: _Box) -> str:
        rows = self._rows[box.top + 1 : box.bottom]
        return _plain(" ".join(row[box.left + 1 : box.right] for row in rows))

    def _name(self, group: _Box) -> str:
        return _plain(self._rows[group.top][group.left + 1 : group.right].strip("-"))

    def _outside(self, box: _Box) -> list[tuple[int, int, int, int]]:
        """Return each place around the box with the direction that leads away from it."""
        sides = [(box.left - 1, y, -1, 0) for y in range(box.top + 1, box.bottom)]
        sides += [(box.right + 1, y, 1, 0) for y in range(box.top + 1, box.bottom)]
        sides += [(x, box.top - 1, 0, -1) for x in range(box.left + 1, box.right)]
        return sides + [(x, box.bottom + 1, 0, 1) for x in range(box.left + 1, box.right)]

    def _follow(self, x: int, y: int, dx: int, dy: int) -> tuple[str, _Box]:
        """Follow an arrow from its first character to the box at its head; return its text and the box."""
        start = (x, y)
        words: list[str] = []
        while True:
            self._seen.add((x, y))
            letter = self._at(x, y)
            if _HEADS.get(letter) == (dx, dy) and not self._is_word(x, y):
                target = [box for box in self._boxes if box.on_edge(x + dx, y + dy)]
                if target:
                    return _plain(" ".join(words)), target[0]
            if letter == "+" and not any(group.on_edge(x, y) for group in self._groups):
                dx, dy = self._turn(x, y, dx, dy)
            elif dx and letter == " ":
                x, text = self._words(x, y, dx, start)
                words.append(text)
                continue
            elif dy and letter == "|":
                words.append(self._beside(x, y))
            elif letter not in "-|":
                raise DiagramError(f"an arrow is lost at column {x + 1} of row {y + 1}: {letter!r}")
            x, y = x + dx, y + dy

    def _is_word(self, x: int, y: int) -> bool:
        return self._at(x - 1, y).isalnum() or self._at(x + 1, y).isalnum()

    def _turn(self, x: int, y: int, dx: int, dy: int) -> tuple[int, int]:
        ways = [(0, -1), (0, 1)] if dx else [(-1, 0), (1, 0)]
        drawn = [way for way in ways if self._at(x + way[0], y + way[1]) in ("|v^" if dx else "-<>")]
        if len(drawn) != 1:
            raise DiagramError(f"an arrow forks or ends at column {x + 1} of row {y + 1}")
        return drawn[0]

    def _words(self, x: int, y: int, dx: int, start: tuple[int, int]) -> tuple[int, str]:
        """Return where the text in a horizontal part ends, and the text."""
        row, place = self._rows[y], x
        while self._at(place, y) != "-" or self._at(place - dx, y) != " ":
            place += dx
            if not 0 <= place < len(row):
                raise DiagramError(f"the arrow from column {start[0] + 1} of row {start[1] + 1} has no end")
        between = row[min(x, place) : max(x, place) + 1]
        self._seen |= {(each, y) for each in range(min(x, place), max(x, place) + 1)}
        return place, between.strip("- ")

    def _beside(self, x: int, y: int) -> str:
        """Return the text to the right of a vertical part, up to two spaces or the next edge."""
        found = re.match(r"\| (?P<text>\S+(?: \S+)*?)(?=  | ?[|+]|\s*$)", self._rows[y][x:])
        if found is None or found["text"].startswith(("|", "+", "-")):
            return ""
        self._seen |= {(x + 1 + each, y) for each in range(len(found["text"]) + 1)}
        return found["text"]

    def _nothing_left_over(self) -> None:
        for y, row in enumerate(self._rows):
            for x, letter in enumerate(row):
                known = (x, y) in self._seen or any(box.on_edge(x, y) for box in self._groups)
                in_box = any(box.left <= x <= box.right and box.top <= y <= box.bottom for box in self._boxes)
                if letter != " " and not known and not in_box:
                    raise DiagramError(f"nothing leads to {letter!r} at column {x + 1} of row {y + 1}")

    # A sequence.

    def _lifelines(self) -> dict[int, str]:
        """Return, by column, the participants: boxes with a line down from them to the last row."""
        lines = {}
        for box in self._boxes:
            for x in range(box.left + 1, box.right):
                below = [self._at(x, y) for y in range(box.bottom + 1, len(self._rows))]
                if below and below[0] == "|" and below[-1] == "|":
                    lines[x] = self._text(box)
        return lines

    def _sequence(self, lifelines: dict[int, str]) -> Graph:
        graph = Graph(nodes={self._text(box) for box in self._boxes})
        first = max(box.bottom for box in self._boxes) + 1
        for y in range(first, len(self._rows)):
            row = self._rows[y]
            for arrow in re.finditer(r"\|(?P<back><)?-(?P<text>.*?)-(?P<on>>)?(?=\|)", row):
                a, b = arrow.start(), arrow.end()
                if a not in lifelines or b not in lifelines or bool(arrow["back"]) == bool(arrow["on"]):
                    raise DiagramError(f"row {y + 1} has no arrow from one line to another: {row.strip()}")
                ends = (lifelines[b], lifelines[a]) if arrow["back"] else (lifelines[a], lifelines[b])
                graph.sequence.append((ends[0], _plain(arrow["text"].strip("- ")), ends[1]))
            if not re.search(r"[<>]", row) and set(row) - set(" |"):
                raise DiagramError(f"row {y + 1} is neither lines nor an arrow: {row.strip()}")
        graph.edges = Counter(graph.sequence)
        return graph
