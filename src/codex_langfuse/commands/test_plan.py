"""``codex-langfuse test-plan``: run the cases of the test plan, and report."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from codex_langfuse.commands.messages import error, note, tell, wrong_usage
from codex_langfuse.page_addresses import page_url

if TYPE_CHECKING:
    from codex_langfuse.testplan.definition import Case, Language
    from codex_langfuse.testplan.results import Outcome, Result
    from codex_langfuse.testplan.running import Target

PAGE = page_url("test-plan")


class ReportLanguage(StrEnum):
    """In which language cases are listed and reported."""

    EN = "en"
    ZH = "zh"


def test_plan(
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="CASES", help="Run only these: numbers, ids or groups, separated by commas."),
    ] = None,
    list_cases: Annotated[bool, typer.Option("--list", help="List the cases without running them.")] = False,
    langfuse_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Run against this Langfuse (an address, or eu, us, jp, hipaa) instead of only the mock.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Write report.md, report.html and junit.xml into this folder.",
        ),
    ] = None,
    codex: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The Codex to test. Default: the one on PATH."),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=1,
            max=3600,
            help="Seconds to wait until Langfuse shows what it accepted.",
        ),
    ] = 60,
    keep: Annotated[bool, typer.Option("--keep", help="With --langfuse-url: keep what was sent.")] = False,
    language: Annotated[
        ReportLanguage, typer.Option(help="Language of the list and the reports.")
    ] = ReportLanguage.EN,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    r"""Run the twenty cases of the test plan with the real Codex, and report.

    Codex gets a home of its own and a scripted model: your configuration is not
    touched, and no model is paid. Everything runs against a mock of Langfuse, in
    about half a minute.

    With --langfuse-url the cases that can run against yours. The keys come from
    LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY (or
    OTEL_EXPORTER_OTLP_TRACES_HEADERS). What will be made there is told first,
    carries the tag codex-langfuse-test-plan, and is deleted at the end as far as
    Langfuse permits it.

    Exit status: 0 all passed, 1 some failed, 2 nothing was run: a wrong option,
    no Codex, no keys, or a Langfuse that does not answer.

    Examples:
      codex-langfuse test-plan
      codex-langfuse test-plan --list
      codex-langfuse test-plan --only 3,7,privacy --report report
      codex-langfuse test-plan --langfuse-url https://cloud.langfuse.com \
        --report report
    """
    from codex_langfuse.testplan.definition import UnknownCaseError, plan

    try:
        cases = plan().select(only or ())
    except UnknownCaseError as unknown:
        wrong_usage(f"--only: {unknown}", f"See {PAGE}")
    if list_cases:
        _list(cases, language.value, as_json=as_json)
    if keep and langfuse_url is None:
        wrong_usage("--keep goes with --langfuse-url")
    if report is not None:
        _make(report)
    outcome = _run(cases, langfuse_url, codex, timeout, language.value, keep=keep, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(outcome.as_json(language.value), ensure_ascii=False, indent=2))
    else:
        _tell(outcome)
    if report is not None:
        _write(report, outcome, language.value, quiet=as_json)
    raise typer.Exit(1 if outcome.failed else 0)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        wrong_usage(f"--report: {folder} cannot be made: {failure.strerror or failure}")


def _list(cases: "Sequence[Case]", language: "Language", *, as_json: bool) -> NoReturn:
    if as_json:
        rows = [
            {"number": case.number, "id": case.id, "group": case.group, "title": case.words[language].title}
            for case in cases
        ]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        width = max(len(case.id) for case in cases)
        for case in cases:
            typer.echo(f"{case.number:2}  {case.id:{width}}  {_title(case, language)}")
    raise typer.Exit(0)


def _run(
    cases: "Sequence[Case]",
    langfuse_url: str | None,
    codex: Path | None,
    timeout: float,
    language: "Language",
    *,
    keep: bool,
    quiet: bool,
) -> "Outcome":
    from codex_langfuse.testplan.program import UnfitError, find_program
    from codex_langfuse.testplan.running import run
    from codex_langfuse.verify.layers import LayerError

    try:
        program = find_program(codex)
        target = _target(langfuse_url) if langfuse_url is not None else None
        if target is not None:
            _announce(target, cases, keep=keep)
        with _progress(len(cases), language, quiet=quiet) as announce:
            return run(
                cases,
                program.path,
                program.version,
                target=target,
                keep=keep,
                seconds=timeout,
                announce=announce,
            )
    except UnfitError as unfit:
        wrong_usage(str(unfit), f"See {page_url('test-plan', 'prerequisites')}")
    except LayerError as failure:
        wrong_usage(f"{failure.layer}: {failure}", *failure.remedies, f"See {failure.page}")
    except OSError as failure:
        wrong_usage(
            f"the plan cannot be run here: {failure}", f"See {page_url('test-plan', 'prerequisites')}"
        )
    except KeyboardInterrupt:
        error("interrupted; no report was made")
        raise typer.Exit(130) from None


def _target(langfuse_url: str) -> "Target":
    from codex_langfuse.keys.credentials import CredentialsError
    from codex_langfuse.keys.key_file import find_access
    from codex_langfuse.testplan.running import ask

    try:
        access = find_access(os.environ, langfuse_url)
    except CredentialsError as wrong:
        wrong_usage(str(wrong), f"See {wrong.page}")
    for text in access.notes:
        note(text)
    return ask(access)


def _announce(target: "Target", cases: "Sequence[Case]", *, keep: bool) -> None:
    """Show what will be made in the tester's Langfuse, before anything is."""
    from codex_langfuse.testplan import configurations
    from codex_langfuse.testplan.definition import Against

    there = [case for case in cases if case.against in (Against.LANGFUSE, Against.ADDRESS)]
    most = sum(case.observations for case in there)
    names = f"{configurations.ENVIRONMENT} or {configurations.SECOND_ENVIRONMENT}"
    end = "It stays there (--keep)." if keep else "At the end Langfuse is asked to delete it."
    tell(
        f"Langfuse {target.version} at {target.access.base_url.url} accepts the keys "
        f"(project {target.project}).\n"
        f"{len(there)} of {len(cases)} cases can send traces there, at most about {most} observations. "
        f"All of it is made up, has the environment {names}, the tag {configurations.TAG} "
        f"and the user {configurations.USER!r}. {end}"
    )


@contextmanager
def _progress(
    number: int, language: "Language", *, quiet: bool
) -> "Iterator[Callable[[Case, Result | None], None]]":
    """Print a line for each result; on a terminal, show on stderr which case is being run."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    def say(case: "Case", result: "Result | None") -> None:
        if result is not None and not quiet:
            for line in _lines(result, language):
                typer.echo(line)

    if not sys.stderr.isatty():
        yield say
        return
    columns = (
        SpinnerColumn(),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.description}", markup=False),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task("", total=number)

        def show(case: "Case", result: "Result | None") -> None:
            if result is None:
                progress.update(task, description=_title(case, language))
                return
            if sys.stdout.isatty() and not quiet:
                # On one terminal the lines go above the bar.
                for line in _lines(result, language):
                    console.print(line, markup=False, highlight=False, soft_wrap=True)
            else:
                say(case, result)
            progress.advance(task)

        yield show


def _title(case: "Case", language: "Language") -> str:
    return case.words[language].title.replace("`", "")


def _lines(result: "Result", language: "Language") -> list[str]:
    words = "passed" if result.passed else "FAILED"
    first = f"{result.case.number:2}  {words}  {result.seconds:5.1f} s  {_title(result.case, language)}"
    return [first, *(f"      {line}" for line in result.trouble(language))]


def _tell(outcome: "Outcome") -> None:
    around = outcome.run_environment
    passed = len(outcome.results) - len(outcome.failed)
    where = (
        f"Langfuse {around.langfuse} at {around.target}"
        if around.target
        else f"mock of Langfuse {around.mock}"
    )
    typer.echo(
        f"{passed} of {len(outcome.results)} passed in {outcome.seconds:.0f} s "
        f"(Codex {around.codex}, {where})"
    )
    cleaning = outcome.cleaning
    if cleaning is None or not cleaning.sent:
        return
    if cleaning.kept:
        note(f"traces that stay in Langfuse: {cleaning.sent}")
    elif cleaning.problem:
        stay = cleaning.sent - cleaning.deleted
        note(f"traces that stay in Langfuse: {stay}; it did not accept their deletion ({cleaning.problem})")
    else:
        tell(f"Traces that Langfuse deletes: {cleaning.deleted}, all that were sent.")


def _write(folder: Path, outcome: "Outcome", language: "Language", *, quiet: bool) -> None:
    from codex_langfuse.testplan.reports import write_reports

    try:
        files = write_reports(folder, outcome, language)
    except OSError as failure:
        error(f"the report cannot be written: {failure}")
        raise typer.Exit(2) from failure
    if not quiet:
        tell(f"Report: {', '.join(str(file) for file in files)}")
