"""The runner of fences itself: it finds every fence, and a page that is wrong does fail."""

import os
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.fences.checkout import ADDRESS
from harness.fences.executors import SETTINGS, FenceFailedError
from harness.fences.following import Following, fences_before
from harness.fences.outputs import matches, renewed
from harness.fences.own_network import is_allowed
from harness.fences.pages import chinese_pages, english_pages
from harness.fences.placeholders import PLACEHOLDERS
from harness.fences.ports import ports_of
from harness.fences.rendered import count_fences
from harness.fences.scanner import ROOT, Fence, FenceError, scan
from harness.fences.terminal import Terminal
from translations import DOCS

# What braces may hold only for the drawn page.
DRAWN = {"linenums", "hl_lines"}

SHOW_SETTINGS = """\
```toml {title="~/.codex/config.toml" answers="404"}
"""

TRICKY = """\
# Every way to write a fence

```bash
echo one
```

~~~text
one
~~~

- in a list

    ```bash {title="two.sh" exits="0"}
    echo two

    echo three
    ```

=== "In a tab"

    !!! note

        ```json
        {}
        ```

````markdown
```python
not a fence of the page
```
````

```toml
    ```
indented = "and no end"
```

``` yaml
a: 1
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "page.md"
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    following = Following(lambda: tmp_path / "reader")

    def all_of(page: Path) -> None:
        for fence in scan(page):
            following.reach(fence, {})

    yield all_of
    following.close()


def test_every_way_to_write_a_fence_is_found(page: Callable[[str], Path]) -> None:
    fences = scan(page(TRICKY))
    found = [(fence.language, fence.line) for fence in fences]
    assert found == [
        ("bash", 3),
        ("text", 7),
        ("bash", 13),
        ("json", 23),
        ("markdown", 27),
        ("toml", 33),
        ("yaml", 38),
    ]
    assert fences[2].source == "echo two\n\necho three\n"
    assert fences[2].settings == {"title": "two.sh", "exits": "0"}


def test_the_renderer_finds_the_same(page: Callable[[str], Path]) -> None:
    assert count_fences(page(TRICKY)) == Counter(fence.language for fence in scan(page(TRICKY)))


def test_a_fence_can_be_written_back_where_it_stands(page: Callable[[str], Path]) -> None:
    file = page(TRICKY)
    text = file.read_text(encoding="utf-8")
    for fence in scan(file):
        written = text[fence.start : fence.end]
        assert (
            "".join(line.removeprefix(" " * fence.indent) for line in written.splitlines(True))
            == fence.written
        )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```bash\necho\n", "never closed"),
        ("```bash title=x\n```\n", "settings go in braces"),
        ('```bash {title="a" loose}\n```\n', 'name="value"'),
        ('```toml {title="x"}\n--8<-- "no/such/file.toml"\n```\n', "not in examples/"),
    ],
)
def test_what_cannot_be_understood_is_said(page: Callable[[str], Path], text: str, complaint: str) -> None:
    with pytest.raises(FenceError, match=complaint):
        scan(page(text))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```fortran\nPRINT *\n```\n", "nothing runs fortran"),
        ("```\necho\n```\n", "nothing runs a fence without a language"),
        ("```bash\nfalse\n```\n", "exited with 1"),
        ("```bash\nfalse | true\n```\n", "exited with 1"),
        ('```bash {fails="no such"}\ntrue\n```\n', "says that this fails; it did not"),
        ('```bash {fails="no such"}\necho other; false\n```\n', "no such"),
        ('```bash {prints="hello"}\necho bye\n```\n', "hello"),
        ("```bash\necho one\n```\n```text\ntwo\n```\n", r"-two\n\+one"),
        ("```console\n$ echo one\ntwo\n```\n", r"-two\n\+one"),
        ("```console\necho one\n```\n", r"begin with '\$ '"),
        ("```bash\necho '{}'\n```\n```json\n{\"a\": 1}\n```\n", "prints something else"),
        ('```json {title="x.json"}\n{"a": }\n```\n', "not JSON"),
        ("```yaml\na: 1\n```\n", "names its schema"),
        ('```yaml {schema="vendor.compose-spec"}\nservices: {web: {comand: x}}\n```\n', "not valid"),
        ('```yaml {schema="vendor.compose-spec"}\na: [\n```\n', "not YAML"),
        ('```yaml {schema="kubernetes"}\nkind: Pod\napiVersion: v1\nspce: {}\n```\n', "spce"),
        ('```yaml {schema="kubernetes"}\nkind: Pot\napiVersion: v1\n```\n', "not valid by kubernetes"),
        ('```yaml {schema="langfuse-helm-values"}\nlangfuse: {solt: {}}\n```\n', "no value langfuse.solt"),
        ("```ascii\n+---+\n| A |\n+---+\n```\n", "after a Mermaid diagram"),
        ("```bash\ndocker run hello-world\n```\n", "exited with 1"),
        ("```powershell\nif ($true) {\n```\n", "not PowerShell"),
        ("```powershell\nexport A=1\n```\n", "this is bash"),
    ],
)
def test_a_wrong_page_fails(
    page: Callable[[str], Path], follow: Callable[[Path], None], text: str, complaint: str
) -> None:
    with pytest.raises(FenceFailedError, match=complaint):
        follow(page(text))


TO_LANGFUSE = """\
[otel]
metrics_exporter = "none"
[otel.trace_exporter.otlp-http]
endpoint = "https://cloud.langfuse.com/api/public/otel/v1/traces"
protocol = "binary"
"""
WITH_KEY = TO_LANGFUSE + 'headers = { Authorization = "Basic cGstbGYt…" }\n'


@pytest.mark.codex
@pytest.mark.parametrize(
    ("settings", "text", "complaint"),
    [
        ("", "[otel\n", "Codex does not accept this file"),
        ("", '[otel]\nenvironmint = "prod"\n', "unknown configuration field"),
        ('fails="unknown"', '[otel]\nenvironment = "prod"\n', "Codex refuses this file; it ran"),
        ('strict="unknown"', '[otel]\nenvironment = "prod"\n', "refuses this file; it did not"),
        ("", TO_LANGFUSE, "was answered 401"),
        ('answers="401"', WITH_KEY, "was answered 200"),
        ('arrives="nothing"', WITH_KEY, "export requests were made"),
        ('drops="authorization"', WITH_KEY, "authorization was sent"),
        ('leaks="ab.chatgpt.com"', WITH_KEY, "ab.chatgpt.com gets the authorization"),
        ("", WITH_KEY.replace("https", "http").replace("cloud", "no"), "was answered 403"),
    ],
)
def test_a_wrong_configuration_fails(
    page: Callable[[str], Path], follow: Callable[[Path], None], settings: str, text: str, complaint: str
) -> None:
    info = f'{{title="~/.codex/config.toml" {settings}}}'
    with pytest.raises(FenceFailedError, match=complaint):
        follow(page(f"```toml {info}\n{text}```\n"))


@pytest.mark.codex
def test_a_configuration_says_which_file_it_is(
    page: Callable[[str], Path], follow: Callable[[Path], None]
) -> None:
    with pytest.raises(FenceFailedError, match="says which file it is"):
        follow(page("```toml\n[otel]\n```\n"))


def test_a_terminal_stays_open_from_fence_to_fence(
    page: Callable[[str], Path], follow: Callable[[Path], None]
) -> None:
    follow(
        page(
            '```bash {input="typed"}\nread -r A && export A\nmkdir folder && cd folder\n```\n'
            '```bash\necho "$A in $(basename "$PWD")"; echo pk-lf-…\n```\n'
            f"```text\ntyped in folder\n{PLACEHOLDERS['pk-lf-…']}\n```\n"
        )
    )


def test_recorded_output_is_renewed_and_keeps_its_ellipses() -> None:
    shown = "start\nid: …\nold\n…\nend\n"
    printed = "start\nid: 123\nnew\nend\n"
    assert not matches(shown, printed)
    assert renewed(shown, printed) == "start\nid: …\nnew\nend\n"
    assert matches(renewed(shown, printed), printed)


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("```bash\ncodex-langfuse relay > ~/relay.log 2>&1 &\n```\n", {4318}),
        ("```bash\ncodex-langfuse relay --listen 127.0.0.1:4320 \\\n  --content full &\n```\n", {4320}),
        ("```bash\ncodex-langfuse relay --status\n```\n", set()),
        ("```bash\ncodex-langfuse mock --port 4319 > mock.log &\n```\n", {4319}),
        ('```toml {title="x.toml"}\nendpoint = "http://127.0.0.1:9/v1/traces"\n```\n', {9}),
        ("```text\nhttp://127.0.0.1:4318\n```\n", set()),
        ('```bash {ran_by="tests/test_scripts.py"}\ncurl http://127.0.0.1:8000\n```\n', set()),
    ],
)
def test_the_ports_that_a_page_needs_are_known(page: Callable[[str], Path], text: str, ports: set) -> None:
    assert ports_of(scan(page(text))) == ports


def test_a_page_does_not_speak_to_somebody_elses_relay(
    page: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.fences.following._PATIENCE", 0)
    with socket.create_server(("127.0.0.1", 0)) as mine:
        port = mine.getsockname()[1]
        fences = scan(page(f"```bash\necho one\n```\n\n```bash\ncurl http://127.0.0.1:{port}/healthz\n```\n"))
        following = Following(lambda: tmp_path / "reader", apart=False)
        for fence in fences:
            with pytest.raises(FenceFailedError, match=f"127.0.0.1:{port} is in use .*Stop it"):
                following.reach(fence, {})
        assert not (tmp_path / "reader").exists()
    following.close()


@pytest.mark.skipif(not is_allowed(), reason="a network of its own needs Linux and root")
def test_a_page_in_a_network_of_its_own_meets_only_what_it_starts(
    page: Callable[[str], Path], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mine:
        port = mine.getsockname()[1]
        (fence,) = scan(page(f"```bash\n! (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null\n```\n"))
        following = Following(lambda: tmp_path / "reader", apart=True)
        following.reach(fence, {})
        following.close()
        socket.create_connection(("127.0.0.1", port)).close()


def test_a_page_follows_what_the_page_before_it_follows(page: Callable[[str], Path]) -> None:
    follower = page("---\nfollows: guide/relay.md#point-codex\n---\n")
    pages = [fence.page.relative_to(DOCS).as_posix() for fence in fences_before(follower)]
    assert list(dict.fromkeys(pages)) == ["configuration-only.md", "guide/relay.md"]


def test_a_program_is_written_for_a_later_fence_to_run() -> None:
    page = DOCS / "guide/using.md"
    titles = [
        fence.settings["title"]
        for fence in scan(page)
        if fence.language == "python" and "title" in fence.settings
    ]
    commands = [fence.source for fence in scan(page) if fence.language in ("bash", "console")]
    assert titles
    for title in titles:
        imported = f"from {title.removesuffix('.py')} import"
        assert any(title in command for command in commands) or any(
            imported in fence.source for fence in scan(page)
        )


def _all_fences() -> list[Fence]:
    return [fence for page in [*english_pages(), *chinese_pages()] for fence in scan(page)]


@pytest.mark.parametrize("fence", _all_fences(), ids=lambda fence: fence.place)
def test_settings_are_known(fence: Fence) -> None:
    assert not fence.settings.keys() - SETTINGS.keys() - DRAWN


@pytest.mark.parametrize(
    "fence", [fence for fence in _all_fences() if "ran_by" in fence.settings], ids=lambda fence: fence.place
)
def test_what_another_module_runs_is_run_there(fence: Fence) -> None:
    module = (ROOT / fence.settings["ran_by"]).read_text(encoding="utf-8")
    included = re.compile(r'--8<-- "(.+)"')  # a file that the module names
    assert all(included.sub(r"\1", line) in module for line in fence.written.splitlines())


def _table(page: Path, heading: str) -> dict[str, str]:
    text = page.read_text(encoding="utf-8")
    section = text[text.index(heading) :]
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", section.split("\n## ")[0], flags=re.M)
    return dict(rows)


def test_the_page_shows_every_setting() -> None:
    assert _table(DOCS / "contributing/examples.md", "{ #settings }") == SETTINGS


def test_the_page_shows_every_placeholder() -> None:
    table = _table(DOCS / "contributing/examples.md", "{ #placeholders }")
    assert table.keys() == {*PLACEHOLDERS, ADDRESS}


def test_the_page_shows_how_settings_are_written(page: Callable[[str], Path]) -> None:
    assert SHOW_SETTINGS in (DOCS / "contributing/examples.md").read_text(encoding="utf-8")
    (fence,) = scan(page(SHOW_SETTINGS + "```\n"))
    assert fence.settings == {"title": "~/.codex/config.toml", "answers": "404"}


@pytest.mark.parametrize("page", english_pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_named_file_is_used_by_what_runs(page: Path) -> None:
    """Codex's own configuration is run by its executor; any other file must be named where something runs."""
    fences = scan(page)
    for fence in fences:
        name = Path(fence.settings.get("title", "")).name
        if name and not fence.settings["title"].endswith(".codex/config.toml"):
            others = [other.source for other in fences if other is not fence]
            assert any(name in source for source in others), f"{fence.place}: nothing uses {name}"


@pytest.mark.parametrize(
    "file",
    [each for each in sorted((ROOT / "examples").rglob("*")) if each.is_file() and each.suffix != ".pyc"],
    ids=lambda file: file.relative_to(ROOT).as_posix(),
)
def test_an_example_file_is_on_a_page(file: Path) -> None:
    name = file.relative_to(ROOT / "examples").as_posix()
    assert any(name in page.read_text(encoding="utf-8") for page in english_pages())


@pytest.mark.parametrize("title", ["/tmp/elsewhere.txt", "~/../elsewhere.txt", "../../elsewhere.txt"])
def test_a_title_does_not_lead_out_of_the_readers_folders(title: str, tmp_path: Path) -> None:
    home, project = tmp_path / "home", tmp_path / "home/project"
    project.mkdir(parents=True)
    terminal = Terminal(tmp_path / "memory", home, project, dict(os.environ))
    try:
        with pytest.raises(ValueError, match="outside"):
            terminal.write(title, "text")
        assert terminal.write("~/.codex/config.toml", "").is_relative_to(home)
    finally:
        terminal.close()
