"""Runs cases, one after the other, and collects what comes of them."""

import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from codex_langfuse.codex.versions import Version
from codex_langfuse.keys.credentials import Access
from codex_langfuse.mock.langfuse.read_api import VERSION
from codex_langfuse.testplan.cases import PLAYERS
from codex_langfuse.testplan.definition import Case
from codex_langfuse.testplan.proof import Proof
from codex_langfuse.testplan.reading import Reading
from codex_langfuse.testplan.results import Cleaning, Outcome, Result, RunEnvironment
from codex_langfuse.testplan.stage import Stage, a_stage
from codex_langfuse.verify.connection import LangfuseConnection
from codex_langfuse.verify.layers import LayerError

#: The first Codex to judge a configuration strictly without a turn, and to know every setting of the cases.
OLDEST_CODEX = Version(0, 131)


@dataclass(frozen=True)
class Target:
    """The tester's Langfuse, after it has been asked: how to reach it, its project, its version."""

    access: Access
    project: str
    version: str


def ask(access: Access) -> Target:
    """Ask a Langfuse whether it takes the keys, and what it is; raises ``LayerError``."""
    with LangfuseConnection(access.base_url.url, access.authorization) as connection:
        project = connection.project_id()
        _, langfuse = Reading(connection, 0).version()
    return Target(access, project, langfuse or "unknown")


def run(
    cases: Sequence[Case],
    codex: Path,
    codex_version: str,
    *,
    target: Target | None = None,
    keep: bool = False,
    seconds: float = 60,
    announce: Callable[[Case, Result | None], None] = lambda case, result: None,
) -> Outcome:
    """Run ``cases``.

    Args:
        cases: in the order in which they are to be run.
        codex: the program.
        codex_version: what it says of itself.
        target: the tester's Langfuse; None for only the mock.
        keep: leave in it what was sent, instead of having it deleted.
        seconds: how long to wait at most until a Langfuse shows what it took.
        announce: called with each case when it begins (None), and again with what came of it.

    Raises:
        OSError, LayerError: the stage cannot be set up.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    results: list[Result] = []
    cleaning = None
    access = target.access if target else None
    with (
        tempfile.TemporaryDirectory(prefix="codex-langfuse-test-plan-", ignore_cleanup_errors=True) as folder,
        a_stage(Path(folder).resolve(), codex, access, seconds) as stage,
    ):
        try:
            for case in cases:
                announce(case, None)
                results.append(_play(stage, case))
                announce(case, results[-1])
        finally:
            if target is not None:
                cleaning = _clean(stage, keep=keep)
    return Outcome(
        started=started,
        seconds=time.monotonic() - clock,
        run_environment=RunEnvironment(
            codex=codex_version,
            codex_langfuse=version("codex-langfuse"),
            langfuse=target.version if target else VERSION[4],
            mock=VERSION[4],
            python=platform.python_version(),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            target=access.base_url.url if access else None,
            project=target.project if target else None,
        ),
        results=results,
        cleaning=cleaning,
    )


def _play(stage: Stage, case: Case) -> Result:
    clock = time.monotonic()
    stage.begin(case)
    proof = Proof(case, stage.secrets)
    broke_off = None
    try:
        PLAYERS[case.id](stage, proof)
    except Exception as error:
        broke_off = proof.masked(f"{type(error).__name__}: {error}")
    finally:
        stage.end()
    against = {langfuse.is_mock for langfuse in stage.played_against}
    return Result(
        case=case,
        checks=tuple(proof.checks),
        missing=tuple(proof.missing),
        broke_off=broke_off,
        seconds=time.monotonic() - clock,
        on_mock=next(iter(against)) if against else None,
    )


def _clean(stage: Stage, *, keep: bool) -> Cleaning:
    sent = len(stage.sent_traces)
    if keep or not sent:
        return Cleaning(sent, 0, keep, "")
    assert stage.real_reading is not None
    try:
        deleted, problem = stage.real_reading.delete(stage.sent_traces)
    except LayerError as error:
        deleted, problem = 0, str(error)
    return Cleaning(sent, deleted, False, problem)
