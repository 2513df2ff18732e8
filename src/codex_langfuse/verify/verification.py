"""Send a test trace, wait until Langfuse shows it, and tell which layer fails if one does."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

import httpx

from codex_langfuse.keys.credentials import TRACES_PATH, Access
from codex_langfuse.verify.connection import (
    SECONDS_TO_ANSWER,
    Connection,
    has_no_traces,
    json_of,
    langfuses_words,
    retry_after,
    retrying_once,
)
from codex_langfuse.verify.layers import ENDPOINT_PATH, LAYERS, REFUSED_KEYS, Layer, LayerError
from codex_langfuse.verify.trial_trace import ExpectedTrace, TrialTrace, make_trial_trace

_SERVER_LOG = "See the log of Langfuse's web container: its storage, queue or database may be out of reach."

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 2.0


class Step(Enum):
    """How far a verification has come."""

    KEYS_ACCEPTED = auto()
    TRACE_SENT = auto()
    WAITING = auto()


@dataclass(frozen=True)
class Arrival:
    """A test trace that Langfuse shows.

    ``seconds`` is the time from sending until it was shown, ``read_endpoint`` the one that showed it.
    """

    trace_id: str
    project_id: str
    link: str
    observations: int
    seconds: float
    read_endpoint: str


def verify_arrival(
    access: Access, *, environment: str, timeout: float, report: Callable[[Step, str], None]
) -> Arrival:
    """Send a test trace to ``access.base_url`` and wait at most ``timeout`` seconds until all of it is shown.

    ``report`` is called with each step and a sentence about it, again and again while waiting. Raises
    ``LayerError`` for the layer that failed.
    """
    base_url = access.base_url.url
    with Connection(
        base_url, access.authorization, seconds_to_answer=min(timeout, SECONDS_TO_ANSWER)
    ) as connection:
        project = connection.project_id()
        report(Step.KEYS_ACCEPTED, f"Langfuse at {base_url} accepts the keys (project {project}).")
        trace = make_trial_trace(environment)
        _send(connection, trace)
        report(Step.TRACE_SENT, f"Langfuse took the test trace {trace.trace_id}.")
        sent = time.monotonic()
        endpoint = wait_until_shown(connection, trace, timeout, report)
    return Arrival(
        trace_id=trace.trace_id,
        project_id=project,
        link=trace_link(base_url, project, trace.trace_id),
        observations=trace.observations,
        seconds=round(time.monotonic() - sent, 1),
        read_endpoint=endpoint,
    )


def wait_until_shown(
    connection: Connection, trace: ExpectedTrace, timeout: float, report: Callable[[Step, str], None]
) -> str:
    """Wait at most ``timeout`` seconds until all of a trace is shown; return the endpoint that showed it.

    Raises ``LayerError`` when it is not.
    """
    return _Reader(connection, trace).wait(time.monotonic() + timeout, timeout, report)


def trace_link(base_url: str, project: str, trace_id: str) -> str:
    """Return the address of a trace's page in Langfuse."""
    return f"{base_url}/project/{project}/traces/{trace_id}"


def _send(connection: Connection, trace: TrialTrace) -> None:
    """Send as Codex does with the documented configuration; success was 207 before Langfuse 3.38."""
    headers = {"content-type": "application/x-protobuf", "x-langfuse-ingestion-version": "4"}
    with _reached_before(Layer.INGESTION, "Langfuse accepts the keys, and gives no answer to the test trace"):
        answer = retrying_once(lambda: connection.post(TRACES_PATH, trace.body, headers))
    if answer.status_code in (200, 207):
        return
    status, said = answer.status_code, langfuses_words(answer)
    if status in (401, 403) and not (said and "suspended" in said[0]):
        raise LayerError(
            Layer.KEYS,
            f"the keys may read, but not send ({status})",
            "Make a new pair in the project: Settings, API Keys.",
            *said,
            page=REFUSED_KEYS,
        )
    if status in (404, 405) or answer.is_redirect:
        raise LayerError(
            Layer.PATH,
            f"{connection.base_url}{TRACES_PATH} is not there (status {status})",
            "Langfuse has it since 3.22.0. Does a proxy in front let this path through?",
            *said,
            page=ENDPOINT_PATH,
        )
    wait = retry_after(answer)
    remedies = {
        403: "Langfuse takes nothing more from this organization until its plan or its limit changes.",
        413: "A proxy in front of Langfuse limits the size of requests; raise its limit.",
        429: "Too many requests" + (f"; it asks to wait {wait} seconds." if wait is not None else "."),
    }
    remedy = remedies.get(status, _SERVER_LOG if status >= 500 else "A proxy in front may change requests.")
    raise LayerError(
        Layer.INGESTION,
        f"Langfuse accepts the keys, but not the test trace (status {status})",
        remedy,
        *said,
        page=LAYERS,
    )


@contextmanager
def _reached_before(layer: Layer, message: str) -> Iterator[None]:
    """Blame what was asked for, not the address, once the server has answered."""
    try:
        yield
    except LayerError as failure:
        if failure.layer is not Layer.ADDRESS:
            raise
        raise LayerError(
            layer, message, f"Before, it did answer. Now: {failure}.", _SERVER_LOG, page=LAYERS
        ) from failure


class _Reader:
    """Asks for a trace: Langfuse 4's observations, or the older traces where those are not to be had."""

    def __init__(self, connection: Connection, trace: ExpectedTrace):
        self._connection = connection
        self._trace = trace
        self._legacy = False
        self._no_traces = False
        self._shown = 0
        self._trouble: list[str] = []

    def wait(self, deadline: float, timeout: float, report: Callable[[Step, str], None]) -> str:
        """Return the endpoint that showed all of the trace; raises ``LayerError`` at the deadline."""
        pause = _FIRST_PAUSE
        while True:
            with _reached_before(
                Layer.READ, "Langfuse took the test trace, and gives no answer when asked for it"
            ):
                answer = self._ask()
            if self._shown >= self._trace.observations:
                return "/api/public/traces" if self._legacy else "/api/public/v2/observations"
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._never_shown(timeout)
            report(Step.WAITING, f"Waiting until Langfuse shows it, at most {left:.0f} seconds more.")
            asked_to_wait = (retry_after(answer) or 0) if answer.status_code == 429 else 0
            time.sleep(min(max(pause, asked_to_wait), left))
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _ask(self) -> httpx.Response:
        answer = self._ask_legacy() if self._legacy else self._ask_v4()
        if answer.status_code == 404 and not self._legacy:
            # Langfuse 3: no such endpoint, or "only available in a Langfuse v4 write mode".
            self._legacy = True
            answer = self._ask_legacy()
        elif answer.status_code == 200 and not self._legacy and not self._count(json_of(answer)):
            answer = self._ask_both(answer)
        self._trouble = []
        if answer.status_code == 200:
            self._shown = self._count(json_of(answer))
        elif answer.status_code != 404 or "not found" not in answer.text:
            self._trouble = [f"The last answer had status {answer.status_code}.", *langfuses_words(answer)]
        return answer

    def _ask_both(self, answer: httpx.Response) -> httpx.Response:
        """Ask for the older trace where there is no observation: ``answer``, unless there is one."""
        if self._no_traces:
            return answer
        older = self._ask_legacy()
        self._no_traces = has_no_traces(older)
        self._legacy = older.status_code == 200
        return older if self._legacy else answer

    def _ask_v4(self) -> httpx.Response:
        since = datetime.fromtimestamp(self._trace.start, UTC) - timedelta(minutes=1)
        return self._connection.get(
            "/api/public/v2/observations",
            traceId=self._trace.trace_id,
            fromStartTime=since.strftime("%Y-%m-%dT%H:%M:%SZ"),
            limit="10",
        )

    def _ask_legacy(self) -> httpx.Response:
        return self._connection.get(f"/api/public/traces/{self._trace.trace_id}")

    def _count(self, body: object) -> int:
        """Count the observations shown, each once: Langfuse 4 may show a span twice for a while."""
        rows = body.get("observations" if self._legacy else "data") if isinstance(body, dict) else None
        if not isinstance(rows, list):
            return 0
        return len({row.get("id") for row in rows if isinstance(row, dict)})

    def _never_shown(self, timeout: float) -> LayerError:
        shown = (
            f" more than {self._shown} of its {self._trace.observations} observations"
            if self._shown
            else " it"
        )
        return LayerError(
            Layer.READ,
            f"Langfuse took the test trace, and does not show{shown} after {timeout:g} seconds",
            "Your own Langfuse: does its worker run, and do web and worker use the same Redis and storage?",
            "Langfuse Cloud: ingestion may be late. Try again with a longer --timeout.",
            *self._trouble,
            page=LAYERS,
        )
