"""What it means to run a fence, one function a language.

Each takes the fence and the reader who follows the page, does what the page asks the reader to do,
and raises ``FenceFailedError`` with what happened when that is not what the page says. A language
without a function here fails: there is no way to show code that nothing runs.

``SETTINGS`` are all the settings a fence can have in its braces, except those that only draw it.
"""

import json
import tomllib
from collections.abc import Callable
from typing import Any

import tree_sitter_pwsh
import yaml
from tree_sitter import Language, Parser

from codex_langfuse.codex.isolated import CodexRun
from harness.fences.deliveries import check_deliveries, exporters
from harness.fences.diagrams import DiagramError, read_ascii, read_mermaid
from harness.fences.outputs import difference, matches, readable, renewed
from harness.fences.placeholders import filled_in, with_placeholders
from harness.fences.reader import Reader
from harness.fences.scanner import Fence, scan
from harness.fences.schemas import problems, read_documents
from harness.fences.terminal import Printed

SETTINGS = {
    "title": "the file the text is written to",
    "append": "the text is added to the file",
    "input": "what the reader types when asked; a vertical bar is the Enter key",
    "exits": "the exit status, when it is not 0",
    "fails": "it must fail, and print this",
    "prints": "it must print this",
    "strict": "codex app-server --strict-config must refuse it, and print this",
    "answers": "the status that every export request of this configuration gets, when it is not 200",
    "arrives": "nothing: no export request is made",
    "drops": "the header of this configuration that Codex does not send",
    "leaks": "the host that also gets the authorization",
    "schema": "the schema that the document must satisfy",
    "ran_by": "the test module or program that runs the text",
}


#: What only a turn of Codex can show.
_OF_A_TURN = {"prints", "answers", "arrives", "drops", "leaks"}


class FenceFailedError(AssertionError):
    """A fence does not do what its page says."""


def expect(condition: bool, said: str, happened: str = "") -> None:
    """Raise ``FenceFailedError`` unless ``condition``, with what the page says and what happened."""
    if not condition:
        raise FenceFailedError(f"{said}\n{happened}".rstrip())


def run_bash(fence: Fence, reader: Reader) -> None:
    """Type the fence into the page's terminal."""
    answers = filled_in(fence.settings["input"]).split("|") if "input" in fence.settings else ()
    reader.type(filled_in(fence.source), answers)
    _check_ending(fence, reader.last)


def run_console(fence: Fence, reader: Reader) -> None:
    """Type each line after ``$ ``, and compare what follows it with what is printed."""
    steps = _console_steps(fence.source)
    expect(bool(steps), "a console fence has lines that begin with '$ '")
    renewed_steps = []
    for command, shown in steps:
        reader.type(filled_in(command))
        expect(reader.last.status == 0, f"$ {command}\nexited with {reader.last.status}", reader.last.text)
        renewed_steps.append((command, _compared(shown, reader, f"$ {command}\nprints something else")))
    _renew(fence, reader, "".join(f"$ {command}\n{shown}" for command, shown in renewed_steps))


def run_toml(fence: Fence, reader: Reader) -> None:
    """Write the file; if it is Codex's configuration, run the real Codex with it."""
    title = fence.settings.get("title", "")
    expect(title != "", 'a TOML fence says which file it is: {title="~/.codex/config.toml"}')
    text = filled_in(fence.source)
    file = reader.terminal.write(title, text, append="append" in fence.settings)
    if file.parent.name != ".codex":
        _parsed("TOML", tomllib.loads, text)
        return
    if "fails" in fence.settings:
        run = _codex(reader, "exec", "Say hello in one word.")
        reader.last = _printed(run, reader)
        expect(run.returncode != 0, "the page says that Codex refuses this file; it ran", reader.last.text)
        _expect_text(fence.settings["fails"], reader.last.text)
        return
    strict = _codex(reader, "app-server", "--strict-config")
    reader.last = _printed(strict, reader)
    if "strict" in fence.settings:
        expect(strict.returncode != 0, "the page says that --strict-config refuses this file; it did not")
        _expect_text(fence.settings["strict"], reader.last.text)
        return
    expect(strict.returncode == 0, "Codex does not accept this file", reader.last.text)
    config = tomllib.loads(file.read_text(encoding="utf-8"))
    tables = exporters(config).values()
    # What goes to a port of this machine is for the page's own next turn: one here would be seen with it.
    leaves = any("://127.0.0.1" not in table["endpoint"] for table in tables)
    if tables and (leaves or fence.settings.keys() & _OF_A_TURN):
        _run_turn(fence, reader, config)


def _run_turn(fence: Fence, reader: Reader, config: dict[str, Any]) -> None:
    before = len(reader.proxy.exchanges)
    run = _codex(reader, "exec", "--skip-git-repo-check", "Say hello in one word.")
    reader.last = _printed(run, reader)
    expect(run.returncode == 0, f"codex exec ended with {run.returncode}", reader.last.text)
    _expect_text(fence.settings.get("prints", ""), reader.last.text)
    problem = check_deliveries(
        config,
        reader.terminal.environment(),
        reader.proxy.exchanges[before:],
        status=int(fence.settings.get("answers", "200")),
        nothing=fence.settings.get("arrives") == "nothing",
        dropped=fence.settings.get("drops", "").lower(),
    )
    expect(problem is None, "what Codex sent is not what the page says", problem or "")
    if "leaks" in fence.settings:
        requests = reader.proxy.exchanges[before:]
        leaked = [r for r in requests if r.host == fence.settings["leaks"] and r.headers.get("authorization")]
        expect(bool(leaked), f"the page says that {fence.settings['leaks']} gets the authorization")


def run_yaml(fence: Fence, reader: Reader) -> None:
    """Parse every document; check it against the schema that the fence names; write the file."""
    schema = fence.settings.get("schema", "")
    documents = _parsed("YAML", lambda text: read_documents(schema, text), fence.source)
    expect(bool(schema), 'a YAML fence names its schema: {schema="vendor.compose-spec"}')
    found = problems(schema, documents)
    expect(not found, f"not valid by {schema}", "\n".join(found))
    if "title" in fence.settings:
        reader.terminal.write(fence.settings["title"], fence.source)


def run_json(fence: Fence, reader: Reader) -> None:
    """Write the file, if it has a title; else it is what the fence before it printed."""
    if "title" in fence.settings:
        _parsed("JSON", json.loads, fence.source)
        reader.terminal.write(fence.settings["title"], filled_in(fence.source))
    else:
        run_output(fence, reader)


def run_output(fence: Fence, reader: Reader) -> None:
    """Compare the fence with what the fence before it printed."""
    shown = _compared(fence.source, reader, "the fence before it prints something else")
    _renew(fence, reader, shown)


def run_ascii(fence: Fence, reader: Reader) -> None:
    """Read the drawing, and the Mermaid diagram before it on the page: they must say the same."""
    before = [other for other in scan(fence.page) if other.line < fence.line and other.language == "mermaid"]
    expect(bool(before), "a drawing in plain characters comes after a Mermaid diagram that says the same")
    try:
        drawn, plain = read_mermaid(before[-1].source), read_ascii(fence.source)
    except DiagramError as error:
        raise FenceFailedError(str(error)) from None
    differing = drawn.difference(plain)
    expect(not differing, f"the diagram of line {before[-1].line} and this drawing differ", differing)


_BASHISMS = ("export ", "<<EOF", "\nfi\n", "$(cat ", "&& \\\n")


def run_powershell(fence: Fence, reader: Reader) -> None:
    """Parse the script. Running it needs ``pwsh``, which few machines of maintainers have."""
    parser = Parser(Language(tree_sitter_pwsh.language()))
    expect(not parser.parse(fence.source.encode()).root_node.has_error, "not PowerShell")
    found = [word for word in _BASHISMS if word in fence.source]
    expect(not found, f"this is bash, not PowerShell: {found}")


EXECUTORS: dict[str, Callable[[Fence, Reader], None]] = {
    "ascii": run_ascii,
    "bash": run_bash,
    "console": run_console,
    "json": run_json,
    "powershell": run_powershell,
    "text": run_output,
    "toml": run_toml,
    "yaml": run_yaml,
}


def _compared(shown: str, reader: Reader, complaint: str) -> str:
    """Return what a page shows for what was printed last: unchanged if it is right or compared only."""
    wanted, printed = filled_in(shown), reader.last.text
    if matches(wanted, printed):
        return shown
    if reader.renewals is None:
        raise FenceFailedError(f"{complaint}\n{difference(wanted, printed)}")
    return with_placeholders(renewed(wanted, printed))


def _parsed(language: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except (ValueError, yaml.YAMLError) as error:
        raise FenceFailedError(f"not {language}: {error}") from None


def _renew(fence: Fence, reader: Reader, text: str) -> None:
    if reader.renewals is not None and text != fence.written:
        reader.renewals.append(fence.example(text))


def _check_ending(fence: Fence, printed: Printed) -> None:
    if "fails" in fence.settings:
        expect(printed.status != 0, "the page says that this fails; it did not", printed.text)
        _expect_text(fence.settings["fails"], printed.text)
        return
    status = int(fence.settings.get("exits", "0"))
    expect(printed.status == status, f"exited with {printed.status}, not {status}", printed.text)
    _expect_text(fence.settings.get("prints", ""), printed.text)


def _expect_text(wanted: str, text: str) -> None:
    expect(wanted in text, f"the page says that this is printed: {wanted}\nwhat was printed:", text)


def _console_steps(source: str) -> list[tuple[str, str]]:
    steps: list[tuple[str, str]] = []
    for line in source.splitlines(keepends=True):
        if line.startswith("$ "):
            steps.append((line[2:].rstrip("\n"), ""))
        elif steps:
            command, shown = steps[-1]
            steps[-1] = (command, shown + line)
    return steps


def _codex(reader: Reader, *arguments: str) -> CodexRun:
    return reader.codex.run(*arguments, environment=reader.terminal.environment())


def _printed(run: CodexRun, reader: Reader) -> Printed:
    return Printed(run.returncode, readable(run.stderr + run.stdout, str(reader.codex.home)))
