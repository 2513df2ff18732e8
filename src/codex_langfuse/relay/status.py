"""What the relay reports on itself: a few lines for a person, JSON for scripts, metrics for Prometheus."""

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex_langfuse.relay.cause import Cause
from codex_langfuse.relay.price_notes import NOT_KNOWN, PRICES, TRACES_AT, in_words
from codex_langfuse.relay.state_folder import (
    Holder,
    StateFolderError,
    default_state_folder,
    holder,
    retry_command,
)
from codex_langfuse.relay.store import FILE_NAME, Figures, Store, StoreError, TurnState

#: The version of what ``--status --json`` prints; a name that is added does not change it.
SCHEMA = 1
#: Turns that are listed when nobody says which.
_LAST_TURNS = 20


@dataclass(frozen=True)
class Status:
    """The state of a relay, running or not, as its folder shows it."""

    folder: Path
    holder: Holder | None
    figures: Figures | None
    turns: tuple[TurnState, ...] = ()

    @property
    def turns_accepted(self) -> bool:
        """Whether there are turns, and each was accepted."""
        return bool(self.turns) and all(turn.state == "accepted" for turn in self.turns)

    @property
    def without_price(self) -> list[tuple[str, str]]:
        """The models and kinds of tokens for which Langfuse had no price when it was last asked."""
        return without_price(self.figures) if self.figures else []

    @property
    def prices_asked(self) -> bool:
        """Whether Langfuse was asked about all that it is to price, or cannot be."""
        notes = self.figures.notes if self.figures else {}
        if not self.figures or TRACES_AT not in notes or NOT_KNOWN in notes:
            return True
        asked = json.loads(notes[PRICES].text)["asked"] if PRICES in notes else []
        return self.figures.unpriced.keys() <= {(model, kind) for model, kind in asked}

    @property
    def busy(self) -> bool:
        """Whether a turn is in progress or waits to be accepted."""
        return bool(self.figures and (self.figures.batches or self.figures.waiting))

    @property
    def all_accepted(self) -> bool:
        """Whether nothing is in progress, waits or is set aside."""
        return not (self.busy or (self.figures and (self.figures.set_aside or self.figures.damaged)))

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object of `examples/relay/status.schema.json`."""
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "running": self.holder is not None,
            "state": str(self.folder),
        }
        if self.holder:
            document |= {"pid": self.holder.pid, "url": self.holder.url, "started": self.holder.started}
        if self.figures:
            document |= {
                "turns": {
                    "seen": self.figures.seen,
                    "accepted": self.figures.accepted,
                    "waiting": self.figures.waiting,
                    "set_aside": sum(self.figures.set_aside.values()),
                    "discarded": self.figures.discarded,
                },
                "set_aside": self.figures.set_aside,
                "exports_in_progress": self.figures.batches,
                "exports_damaged": self.figures.damaged,
                "exports_turned_away": self.figures.turned_away,
                "incomplete": self.figures.incomplete,
                "records_late": self.figures.late,
                "records_foreign": self.figures.foreign,
                "last_turns": [self._turn_as_json(turn) for turn in self.turns],
                "bytes": self.figures.used,
                "turns_priced_by_file": self.figures.priced,
                "without_price": [
                    {"model": model, "kind": kind, "tokens": self.figures.unpriced.get((model, kind), 0)}
                    for model, kind in self.without_price
                ],
                **{
                    name.replace(" ", "_"): {"text": note.text, "at": note.at}
                    for name, note in self.figures.notes.items()
                    if name not in (PRICES, TRACES_AT)
                },
            }
        return document

    def _turn_as_json(self, turn: TurnState) -> dict[str, Any]:
        assert self.figures
        shown_at = self.figures.notes.get(TRACES_AT)
        return {
            **turn.record,
            "state": turn.state,
            "finished": turn.finished,
            "accepted": turn.accepted,
            "url": f"{shown_at.text}{turn.record['trace']}" if shown_at else None,
        }

    def lines(self) -> list[str]:
        """Return it as lines for a person; none of them holds content of a turn."""
        running = (
            f"running at {self.holder.url}, process {self.holder.pid}, since {_when(self.holder.started)}"
            if self.holder
            else "not running"
        )
        lines = [f"relay       {running}"]
        figures = self.figures
        if figures is None:
            return [*lines, f"state       nothing yet in {self.folder}"]
        notes = figures.notes
        lines.append(f"state       {self.folder}, {figures.used / 2**20:.1f} MiB")
        if "destination" in notes:
            lines.append(f"sends to    {notes['destination'].text}")
        lines.append(
            f"turns       {figures.seen} seen, {figures.accepted} accepted, {figures.waiting} waiting, "
            f"{sum(figures.set_aside.values())} set aside"
        )
        if figures.batches:
            lines.append(f"unfinished  {_counted(figures.batches, 'export')} of turns in progress")
        if "newest turn" in notes:
            lines.append(f"newest      {_when(notes['newest turn'].at)}: {notes['newest turn'].text}")
        if "last accepted" in notes:
            lines.append(f"accepted    {_when(notes['last accepted'].at)}, the last one")
        for refusal, number in figures.set_aside.items():
            lines.append(f"set aside   {number}: {refusal}")
        if figures.set_aside:
            lines.append(f"            To try them again: {retry_command(self.folder)}")
        lines += [f"incomplete  {number}: {what}" for what, number in figures.incomplete.items()]
        if figures.late:
            lines.append(f"late        {_counted(figures.late, 'record')} came when the turn had left")
        if figures.foreign:
            lines.append(f"foreign     {_counted(figures.foreign, 'record')} of other programs, ignored")
        if figures.priced:
            lines.append(f"priced      {_counted(figures.priced, 'turn')} by --price-file")
        if self.without_price:
            lines.append(f"no price    {in_words(self.without_price, figures.unpriced)}")
        if NOT_KNOWN in notes:
            lines.append(f"prices      not known: {notes[NOT_KNOWN].text}")
        if figures.damaged:
            damaged = _counted(figures.damaged, "export")
            lines.append(f"damaged     {damaged} on disk cannot be decoded, and set aside")
        if "gap" in notes:
            began = _when(float(notes["gap"].text))
            lines.append(f"gap         nothing was taken from {began} to {_when(notes['gap'].at)}")
        if figures.turned_away:
            lines.append(f"turned away {_counted(figures.turned_away, 'export')} lost, as there was no room")
        if self.holder and "no room" in notes:
            lines.append(f"no room     {notes['no room'].text}: exports are turned away, and lost")
        if self.holder and "fault" in notes:
            lines.append(f"not now     {notes['fault'].text}")
        if "last error" in notes:
            lines.append(f"last error  {_when(notes['last error'].at)}: {notes['last error'].text}")
        else:
            lines.append("last error  none")
        return lines


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def read_status(folder: Path, since: float = 0.0, session: str | None = None) -> Status:
    """Read the state in ``folder``, whether a relay runs there or not; raises ``StoreError``.

    With the turns that were finished at ``since`` (seconds since 1970) or later, those of a session only if
    one is given; without either, with the last few.
    """
    figures, turns = None, []
    if (folder / FILE_NAME).exists():
        store = Store(folder, only_read=True)
        try:
            figures = store.figures()
            turns = store.turns(since, session)
        finally:
            store.close()
    if not since and session is None:
        turns = turns[-_LAST_TURNS:]
    return Status(folder, holder(folder), figures, tuple(turns))


def without_price(figures: Figures) -> list[tuple[str, str]]:
    """Return the models and kinds of tokens for which Langfuse had no price when it was last asked."""
    note = figures.notes.get(PRICES)
    return [(model, kind) for model, kind in json.loads(note.text)["missing"]] if note else []


def prices_missing(environment: Mapping[str, str]) -> str:
    """Say for which models and kinds of tokens the running relay of a user found no price; "" for none."""
    try:
        status = read_status(default_state_folder(environment))
    except (StoreError, StateFolderError, sqlite3.Error):
        return ""
    if status.holder is None or status.figures is None or not status.without_price:
        return ""
    return in_words(status.without_price, status.figures.unpriced)


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


@dataclass(frozen=True)
class Metrics:
    """What ``/metrics`` shows beside the store's figures, since this process began."""

    started: float
    requests: Mapping[tuple[str, int], int]
    failed_deliveries: int
    sent_again: int
    turned_away: int
    cause: Cause | None
    full: bool
    limit: int

    def text(self, figures: Figures) -> str:
        """Write everything in Prometheus' text format, version 0.0.4."""
        lines: list[str] = []

        def metric(name: str, kind: str, help_text: str, samples: Mapping[str, float]) -> None:
            full_name = f"codex_langfuse_relay_{name}"
            lines.append(f"# HELP {full_name} {help_text}")
            lines.append(f"# TYPE {full_name} {kind}")
            lines.extend(f"{full_name}{labels} {float(value):.15g}" for labels, value in samples.items())

        def one(name: str, kind: str, help_text: str, value: float) -> None:
            metric(name, kind, help_text, {"": value})

        one("turns_seen_total", "counter", "Turns finished.", figures.seen)
        one("turns_accepted_total", "counter", "Turns that the destination accepted.", figures.accepted)
        one("turns_waiting", "gauge", "Turns that wait to be accepted.", figures.waiting)
        one(
            "turns_set_aside",
            "gauge",
            "Turns refused for good, kept for --retry-failed.",
            sum(figures.set_aside.values()),
        )
        metric(
            "requests_total",
            "counter",
            "Exports received, by path and status of the answer.",
            {
                f'{{path="{path}",status="{status}"}}': number
                for (path, status), number in sorted(self.requests.items())
            },
        )
        metric(
            "turns_incomplete_total",
            "counter",
            "Turns that lack something, by what.",
            {f'{{what="{what}"}}': number for what, number in figures.incomplete.items()},
        )
        one("turns_priced_by_file_total", "counter", "Turns that --price-file priced.", figures.priced)
        metric(
            "tokens_without_price",
            "gauge",
            "Tokens that count as $0 in Langfuse, by model and kind.",
            {
                f'{{model="{model}",kind="{kind}"}}': figures.unpriced.get((model, kind), 0)
                for model, kind in without_price(figures)
            },
        )
        one("records_late_total", "counter", "Records that came when their turn had left.", figures.late)
        one("records_foreign_total", "counter", "Records of other programs, ignored.", figures.foreign)
        one("exports_turned_away_total", "counter", "Exports lost for want of room.", self.turned_away)
        one("exports_stored", "gauge", "Exports on disk of turns in progress.", figures.batches)
        one(
            "deliveries_failed_total",
            "counter",
            "Requests the destination did not accept.",
            self.failed_deliveries,
        )
        one(
            "turns_sent_again_total",
            "counter",
            "Turns sent more than once, as the request before got a 500 or no answer.",
            self.sent_again,
        )
        metric(
            "destination_fault",
            "gauge",
            "1 for what is wrong with the destination now; turns wait meanwhile.",
            {f'{{cause="{cause}"}}': cause is self.cause for cause in Cause},
        )
        one("full", "gauge", "1 while there is no room for more.", self.full)
        one("disk_bytes", "gauge", "Bytes in use on disk.", figures.used)
        one("disk_limit_bytes", "gauge", "Bytes that may be in use on disk.", self.limit)
        one("exports_damaged", "gauge", "Exports on disk that cannot be decoded.", figures.damaged)
        last = figures.notes.get("last accepted")
        one(
            "last_accepted_timestamp_seconds",
            "gauge",
            "When the destination last accepted a turn.",
            last.at if last else 0,
        )
        one("start_time_seconds", "gauge", "When this process began.", self.started)
        return "\n".join(lines) + "\n"
