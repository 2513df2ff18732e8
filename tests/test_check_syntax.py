"""A TOML text is read as Codex reads it, and what is wrong with it is where Codex says."""

import re
import tomllib

import pytest
import toml_rs
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_langfuse.configuration.config_files import config_of
from codex_langfuse.configuration.edit import Draft, literal, value_at
from codex_langfuse.configuration.encoding import decoded
from codex_langfuse.configuration.repair import repaired
from codex_langfuse.configuration.secrets import masked
from codex_langfuse.configuration.syntax import (
    TomlError,
    earlier_place,
    everywhere,
    offset_of,
    parse,
    place,
    scan,
)
from harness.toml_mutations import GOOD, mutations

pytestmark = [pytest.mark.macos, pytest.mark.windows]

WRONG = {
    "a bare word": "[otel]\nmetrics_exporter = none\n",
    "a string that is not closed": '[otel]\nenvironment = "prod\nmetrics_exporter = "none"\n',
    "a literal string that is not closed": "[otel]\nenvironment = 'abc\n",
    "a header that is not closed": '[otel\nenvironment = "prod"\n',
    "a key twice": '[otel]\nenvironment = "prod"\nenvironment = "x"\n',
    "a key twice inline": '[otel]\ntrace_exporter = { otlp-http = { endpoint = "a", endpoint = "b" } }\n',
    "an inline table and a header": "[otel]\nexporter = { otlp-http = {} }\n[otel.exporter.otlp-http]\n",
    "a string and a header": '[otel]\nexporter = "otlp-http"\n[otel.exporter."otlp-http"]\n',
    "a header and a string": '[otel.exporter."otlp-http"]\nendpoint = "a"\n[otel]\nexporter = "otlp-http"\n',
    "a string and a dotted key": 'otel.exporter = "otlp-http"\notel.exporter.otlp-http.endpoint = "a"\n',
    "a table twice": "[otel]\n[otel]\n",
    "a deep table twice": "[otel.exporter.otlp-http]\n[otel.exporter.otlp-http]\n",
    "curly quotes": "[otel]\nenvironment = “prod”\n",
    "no equals sign": '[otel]\nenvironment "prod"\n',
    "YAML": "otel:\n  environment: prod\n",
    "JSON": '{"otel": {}}\n',
    "no comma": "[otel]\nx = { a = 1 b = 2 }\n",
    "no brace": "[otel]\nx = { a = 1\n",
    "no bracket": '[shell_environment_policy]\nexclude = ["OTEL_*"\n[otel]\n',
    "a path of Windows": '[otel]\nenvironment = "C:\\path"\n',
    "a space in a key": '[otel]\nmy key = "prod"\n',
    "two things on a line": '[otel] environment = "prod"\n',
    "two assignments on a line": "a = 1 b = 2\n",
    "a word after a value": '[otel]\nenvironment = "ü" x\n',
    "Python's True": "[otel]\nlog_user_prompt = True\n",
    "a no-break space": '[otel]\n\u00a0environment = "prod"\n',
    "only a carriage return": '[otel]\rmetrics_exporter = "none"\r',
}

RIGHT = {
    "an inline table of many lines": '[otel]\nx = {\n  a = 1, # one\n  b = { c = "d" },\n}\n',
    "escapes of TOML 1.1": 'a = "\\e[0m"\n',
    "long strings": "a = \"\"\"\nline\\\n  more\"\"\"\"\nb = '''x\n''y'''\n",
    "arrays of tables": "[[a]]\nb = 1\n[a.c]\nd = 2\n[[a]]\nb = 3\n",
    "a table above its sub-table": "[a.b]\nc = 1\n[a]\nd = 2\n",
    "dotted and quoted keys": "a.\"b.c\".'d e' = 1\na.f = 2\n",
    "dates": "a = 1979-05-27 07:32:00Z\nb = 07:32:00\nc = 1979-05-27\n",
    "numbers": "a = 0xff\nb = 1_000\nc = -1.5e3\nd = inf\n",
}


@pytest.mark.codex
@pytest.mark.parametrize("what", WRONG)
def test_an_error_stands_where_codex_says(what, shared_codex) -> None:
    verdict = shared_codex.check_config(WRONG[what])
    with pytest.raises(TomlError) as error:
        parse(WRONG[what])
    assert (error.value.line, error.value.column) == (verdict.line, verdict.column), verdict
    if verdict.message.startswith(("duplicate", "cannot extend")):
        assert error.value.message == verdict.message


_SYNTAX_ERROR = re.compile(r"^Error: .+?:(\d+):(\d+): (.+)$", re.M)


@pytest.mark.codex
@pytest.mark.parametrize("seed", range(4))
def test_what_is_toml_is_what_codex_reads(seed, shared_codex) -> None:
    """Message, line and column of Codex, for texts that people and installers leave behind."""
    limits = ["a." * 80 + "b = 1\n", "a = " + "[" * 81 + "]" * 81, "a = 0xFFFFFFFFFFFFFFFF\n"]
    for text in [*GOOD, *limits, *WRONG.values(), *RIGHT.values()] * (seed == 0) + mutations(40, seed):
        path = shared_codex.write_config(text)
        told = shared_codex.run("app-server", "--strict-config").stderr
        refused = any(
            words in told for words in ("TOML parse error", "recursion limit", "value was too large")
        )
        located = _SYNTAX_ERROR.search(told)
        theirs = (int(located[1]), int(located[2]), located[3]) if refused and located else None
        error = config_of("user", path, text.encode()).error
        ours = error and (error.line, error.column, error.message)
        if ours and theirs and "\r\n" in text:  # At the end of a line, Codex counts the carriage return.
            ours, theirs = ours[::2], theirs[::2]
        assert ours == theirs, repr(text)


@pytest.mark.parametrize("what", RIGHT)
def test_what_is_right_is_read(what) -> None:
    parse(RIGHT[what])


def test_every_value_is_found_where_it_is() -> None:
    """What ``scan`` finds in a text that is TOML is what ``toml_rs`` reads there, for thousands of texts."""
    read = 0
    for text in [*GOOD, *RIGHT.values(), *mutations(12_000)]:
        if "\r" in text:
            continue  # ``encoding`` takes it away.
        places = {found.path: found for found in everywhere(scan(text))}
        try:
            data = parse(text).data
        except TomlError:
            continue
        read += 1
        for path, value in _leaves(data):
            written = places[path].value
            assert repr(toml_rs.loads(f"v = {text[written.start : written.end]}")["v"]) == repr(value), text
    assert read > 2000


def _leaves(value, path=()):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    elif not (isinstance(value, list) and any(isinstance(item, dict | list) for item in value)):
        yield path, value


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ('[otel]\nexporter = "a"\nexporter = "b"\n', (2, 1)),
        ("[a]\n[otel]\n[b]\n[otel]\n", (2, 2)),
        ('[otel]\nexporter = "none"\n[otel.exporter.otlp-http]\n', (2, 1)),
        ('[otel.exporter.otlp-http]\nendpoint = "a"\n\n[otel]\nexporter = {}\n', (1, 7)),
        ("x = { a = 1, a = 2 }\n", (1, 7)),
        ('otel.exporter = "a"\notel.exporter.otlp-http.endpoint = "b"\n', (1, 6)),
    ],
)
def test_both_places_of_a_duplicate_are_known(text, first) -> None:
    with pytest.raises(TomlError) as error:
        parse(text)
    assert earlier_place(text, error.value) == first


@pytest.mark.parametrize("what", WRONG)
def test_what_comes_after_an_error_is_found(what) -> None:
    text = WRONG[what] + '\n[features]\nplugins = true\n[otel.exporter.otlp-http]\nendpoint = "here"\n'
    found = [inner for inner in everywhere(scan(text)) if inner.path[-1:] == ("endpoint",)]
    assert text[found[-1].value.start : found[-1].value.end] == '"here"'
    assert found[-1].path == ("otel", "exporter", "otlp-http", "endpoint")


@given(st.text(st.sampled_from("ab\nü\u2028\r"), max_size=30), st.data())
def test_a_place_is_an_offset(text, data) -> None:
    offset = data.draw(st.integers(0, len(text)))
    assert offset_of(text, *place(text, offset)) == offset


_REPAIRED = {
    "a string beside the table": (
        '[otel]\nexporter = "otlp-http"\n[otel.exporter.otlp-http]\nendpoint = "a"\n',
        '[otel]\n[otel.exporter.otlp-http]\nendpoint = "a"\n',
    ),
    "an inline table that an installer added": (
        '[otel.exporter.otlp-http]\nendpoint = "a"\n\n[otel]\n'
        'exporter = { otlp-http = { endpoint = "a", protocol = "json" } }\n',
        '[otel.exporter.otlp-http]\nendpoint = "a"\nprotocol = "json"\n\n[otel]\n',
    ),
    "a table that was there before a page was pasted": (
        '[shell_environment_policy]\ninherit = "all"\n\n[otel]\nexporter = "none"\n\n'
        '[shell_environment_policy]\nexclude = ["OTEL_*"]\n',
        '[shell_environment_policy]\ninherit = "all"\nexclude = ["OTEL_*"]\n\n[otel]\nexporter = "none"\n\n',
    ),
    "the same line twice": ("[a]\nx = 1\nx = 1\n", "[a]\nx = 1\n"),
    "two values for one key": ("[a]\nx = 1\nx = 2\n", None),
    "two tables that contradict each other": ("[a]\nx = 1\n[a]\nx = 2\n", None),
    "a string that is not closed": ('[a]\nx = "1\n', None),
    "nothing wrong": ("[a]\nx = 1\n", None),
}


@pytest.mark.parametrize("what", _REPAIRED)
def test_only_what_is_plain_is_repaired(what) -> None:
    text, expected = _REPAIRED[what]
    found = repaired(text)
    assert (found and found.text) == expected


def test_a_repair_keeps_every_setting() -> None:
    done = 0
    for text in mutations(6000, seed=3):
        found = repaired(text)
        if found is None:
            continue
        done += 1
        kept = {(found.path, text[found.value.start : found.value.end]) for found in everywhere(scan(text))}
        for path, value in _leaves(parse(found.text).data):
            if isinstance(value, bool | int | str):
                assert any(path == known for known, _ in kept), (path, text)
    assert done > 20


_KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)
_SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.dates(),
)
_TABLES = st.recursive(
    st.dictionaries(_KEYS, _SCALARS | st.lists(_SCALARS, max_size=3), max_size=4),
    lambda inner: st.dictionaries(
        _KEYS, inner | _SCALARS | st.lists(inner, min_size=1, max_size=2), max_size=4
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(_TABLES)
def test_every_document_is_read_as_it_was_written(table) -> None:
    text = toml_rs.dumps(table)
    assert parse(text).data == tomllib.loads(text) == table


@settings(max_examples=150, deadline=None)
@given(_TABLES)
def test_every_key_is_found_where_it_stands(table) -> None:
    document = parse(toml_rs.dumps(table))
    for path in _paths(table):
        offset = document.offset(path)
        assert offset is not None
        written = document.text[offset:]
        assert written.startswith((path[-1], '"', "'")), (path, written[:20])


def _paths(table, path=()):
    for name, value in table.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from _paths(value, (*path, name))


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=60))
def test_what_tomllib_reads_is_read_and_the_same(text) -> None:
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert parse(text).data == expected


@settings(max_examples=150, deadline=None)
@given(
    _TABLES, st.lists(_KEYS, min_size=1, max_size=3), _SCALARS | st.dictionaries(_KEYS, _SCALARS, max_size=2)
)
def test_an_edit_changes_what_it_is_to_change_alone(table, path, value) -> None:
    draft = Draft(toml_rs.dumps(table))
    before = draft.text
    try:
        draft.set(tuple(path), value)
    except ValueError:
        assert draft.text == before
        return
    assert value_at(tomllib.loads(draft.text), path) == value
    draft.remove(tuple(path))
    assert value_at(tomllib.loads(draft.text), path) is None


@given(
    st.lists(st.sampled_from(["a = 1", "# c", "", "[t]", 'b = "ü"']), max_size=8),
    st.lists(st.booleans(), min_size=8),
)
def test_unchanged_lines_keep_their_bytes(lines, windows) -> None:
    content = "".join(
        line + ("\r\n" if is_windows else "\n") for line, is_windows in zip(lines, windows, strict=False)
    ).encode()
    for mark in (b"", b"\xef\xbb\xbf"):
        encoded = decoded(mark + content)
        assert encoded.with_text(encoded.text) == mark + content
        longer = encoded.with_text(encoded.text + "new = 2\n")
        assert longer.startswith(mark + content)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('Authorization = "Basic cGstbGYtMTIzNDU2"', 'Authorization = "Basic …"'),
        ('"Authorization" = "Bearer abcdef123456"', '"Authorization" = "Bearer …"'),
        ("Authorization=Basic%20cGstbGYtMTIzNDU2", "Authorization=Basic%20…"),
        ("https://pk-lf-1:sk-lf-2@host/", "https://…@host/"),
        ('api_key = "abcdef"', 'api_key = "…"'),
        ('x = "sk-lf-0123456789abcdef"', 'x = "sk-lf-…cdef"'),
        ('Authorization = "Basic ${LANGFUSE_AUTH}"', 'Authorization = "Basic ${LANGFUSE_AUTH}"'),
        ('environment = "prod"', 'environment = "prod"'),
        ('Authorization = """Basic cGstbGYt\nYWJjZGVm\n"""', 'Authorization = """Basic …\n…\n…"""'),
        ('X-My-Header = "cGstbGYtMTIzNDU2"', 'X-My-Header = "cGstbGYt…"'),
        ('headers = { x-team = "abcdefgh", x-v = "4" }', 'headers = { x-team = "…", x-v = "4" }'),
        (
            '[otel.headers]\nx-team = "abcdefgh"\n[b]\nc = "abcdefgh"',
            '[otel.headers]\nx-team = "…"\n[b]\nc = "abcdefgh"',
        ),
        ('args = ["--token", "abcdef", "--port", "4318"]', 'args = ["--token", "…", "--port", "4318"]'),
        ('author = "Ada"', 'author = "Ada"'),
    ],
)
def test_secrets_are_covered(text, shown) -> None:
    assert masked(text) == shown


def test_a_literal_of_any_table_is_read_back() -> None:
    value = {"a b": [1, "x", {"c": True}], "d": {}}
    assert parse(f"v = {literal(value)}").data == {"v": value}
