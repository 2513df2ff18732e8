"""Send a test trace, wait until Langfuse shows it, and report which layer fails if one does."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from codex_langfuse.keys.credentials import TRACES_PATH, Access
from codex_langfuse.verify.connection import (
    SECONDS_TO_ANSWER,
    LangfuseConnection,
    langfuses_words,
    retry_after,
    retrying_once,
)
from codex_langfuse.verify.layers import ENDPOINT_PATH, LAYERS, REFUSED_KEYS, Layer, LayerError
from codex_langfuse.verify.reading import SERVER_LOG, NeverShownError, Query, Reader, Step, reached_before
from codex_langfuse.verify.trial_trace import ExpectedTrace, TrialTrace, make_trial_trace


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
    with LangfuseConnection(
        base_url, access.authorization, seconds_to_answer=min(timeout, SECONDS_TO_ANSWER)
    ) as connection:
        project = connection.project_id()
        report(Step.KEYS_ACCEPTED, f"Langfuse at {base_url} accepts the keys (project {project}).")
        trace = make_trial_trace(environment)
        _send(connection, trace)
        report(Step.TRACE_SENT, f"Langfuse accepted the test trace {trace.trace_id}.")
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
    connection: LangfuseConnection, trace: ExpectedTrace, timeout: float, report: Callable[[Step, str], None]
) -> str:
    """Wait at most ``timeout`` seconds until all of a trace is shown; return the endpoint that showed it.

    Raises ``LayerError`` when it is not.
    """
    try:
        return Reader(connection, _query(trace)).wait(timeout, report).endpoint
    except NeverShownError as never:
        raise _never_shown(trace, never, timeout) from never


def trace_link(base_url: str, project: str, trace_id: str) -> str:
    """Return the address of a trace's page in Langfuse."""
    return f"{base_url}/project/{project}/traces/{trace_id}"


def _send(connection: LangfuseConnection, trace: TrialTrace) -> None:
    """Send as Codex does with the documented configuration; success was 207 before Langfuse 3.38."""
    headers = {"content-type": "application/x-protobuf", "x-langfuse-ingestion-version": "4"}
    with reached_before(Layer.INGESTION, "Langfuse accepts the keys, but does not answer the test trace"):
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
            f"{connection.base_url}{TRACES_PATH} does not exist (status {status})",
            "It needs Langfuse 3.22.0 or newer. A proxy in front must let this path through.",
            *said,
            page=ENDPOINT_PATH,
        )
    wait = retry_after(answer)
    remedies = {
        403: "Langfuse accepts no more data from this organization until its plan or limit changes.",
        413: "A proxy in front of Langfuse limits the size of requests; raise its limit.",
        429: "Too many requests" + (f"; it asks to wait {wait} seconds." if wait is not None else "."),
    }
    remedy = remedies.get(status, SERVER_LOG if status >= 500 else "A proxy in front may change requests.")
    raise LayerError(
        Layer.INGESTION,
        f"Langfuse accepts the keys, but not the test trace (status {status})",
        remedy,
        *said,
        page=LAYERS,
    )


def _query(trace: ExpectedTrace) -> Query:
    since = datetime.fromtimestamp(trace.start, UTC) - timedelta(minutes=1)
    return Query(
        "the test trace",
        {"traceId": trace.trace_id, "fromStartTime": since.strftime("%Y-%m-%dT%H:%M:%SZ"), "limit": "10"},
        older_path=f"/api/public/traces/{trace.trace_id}",
        older_rows="observations",
        enough=trace.observations,
    )


def _never_shown(trace: ExpectedTrace, never: NeverShownError, timeout: float) -> LayerError:
    shown = f" more than {never.shown} of its {trace.observations} observations" if never.shown else " it"
    return LayerError(
        Layer.READ,
        f"Langfuse accepted the test trace, but does not show{shown} after {timeout:g} seconds",
        "Self-hosted: check that worker and ClickHouse run, and that web and worker share Redis and storage.",
        "Langfuse Cloud: ingestion may be late. Try again with a longer --timeout.",
        *never.trouble,
        page=LAYERS,
    )
