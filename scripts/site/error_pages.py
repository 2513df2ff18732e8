"""The catalogue as the page ``reference/errors``, in both languages.

The examples on it are the catalogue's own, as fences with the settings that say what must come of them (see
``docs/contributing/examples.md``). They are the same in both languages, and are followed from the top like
those of any page: so what one of them sets, it takes back.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from codex_langfuse.check.catalogue import Severity
from codex_langfuse.keys.credentials import TRACES_HEADERS
from error_catalogue import Entry, Language, catalogue
from hooks import tested_with
from page_tables.markdown import words_of

_KEYS = {TRACES_HEADERS: "Authorization=Basic%20cGstbGYt…"}
_FENCE_SETTINGS = ("fails", "strict", "prints", "answers", "arrives", "drops", "leaks")
_CONFIG = "~/.codex/config.toml"
#: What begins so is only in Codex's debug log.
_IN_DEBUG_LOG = ("Status(", "ConnectError", "Operation failed", "TunnelUnsuccessful", "reqwest::")


@dataclass(frozen=True)
class _Phrases:
    """What the page says around the catalogue."""

    description: str
    title: str
    introduction: str
    keys: str
    head: str
    labels: Mapping[str, str]
    severities: Mapping[Severity, str]
    groups: Mapping[str, str]
    editors: str
    colon: str
    nothing_shown: str
    in_debug_log: str
    in_answer: str


_PHRASES: Mapping[str, _Phrases] = {
    language: _Phrases(**words) for language, words in words_of(__file__).items()
}


def render_errors(language: Language) -> str:
    """Return the page in Markdown."""
    return "\n".join(_lines(language))


def _symptoms(language: Language) -> Iterator[str]:
    phrases = _PHRASES[language]
    yield from (phrases.head, "| --- | --- | --- |")
    for mistake in catalogue().values():
        shown = _code(mistake.shows).replace("|", r"\|") if mistake.shows else phrases.nothing_shown
        title = mistake.words[language].title.replace("|", r"\|")
        yield f"| {shown} | [{title}](#{mistake.id}) | {phrases.severities[mistake.severity]} |"


def _lines(language: Language) -> Iterator[str]:
    phrases = _PHRASES[language]
    yield from ("---", f"description: {_yaml(phrases.description)}", "---", "")
    yield from (f"# {phrases.title} {{ #errors }}", "", phrases.introduction, "")
    yield from (tested_with.MARK, "")
    yield from _symptoms(language)
    yield from ("", phrases.keys, "", *_bash(_exports(_KEYS)), "")
    group, exported = "", dict(_KEYS)
    for mistake in catalogue().values():
        if mistake.group != group:
            group = mistake.group
            yield from (f"## {phrases.groups[group]} {{ #group-{group} }}", "")
            if group == "load":
                yield from (phrases.editors, "")
        yield from _entry(mistake, language, exported)


def _entry(mistake: Entry, language: Language, exported: dict[str, str]) -> Iterator[str]:
    phrases, words = _PHRASES[language], mistake.words[language]
    yield from (f"### {words.title} {{ #{mistake.id} }}", "")
    if mistake.example.printed:
        yield from _example(mistake, exported)
    for name in ("symptom", "cause", "check", "fix"):
        text = _code(mistake.check) if name == "check" else getattr(words, name)
        if name == "symptom" and mistake.shows:
            text += _shown(mistake, phrases)
        yield f"- **{phrases.labels[name]}**{phrases.colon}{text}"
    yield ""


def _shown(mistake: Entry, phrases: _Phrases) -> str:
    """Return where the words of a mistake are seen."""
    assert mistake.shows is not None
    if mistake.shows.startswith(_IN_DEBUG_LOG):
        sentence = phrases.in_debug_log
    elif mistake.proof.keys() & {"says", "drops"} or mistake.shows.isdecimal():
        sentence = phrases.in_answer
    else:
        sentence = " {shown}" if phrases.colon == ": " else "{shown}"
    return sentence.format(shown=_code(mistake.shows))


def _example(mistake: Entry, exported: dict[str, str]) -> Iterator[str]:
    example = mistake.example
    wanted = {**(_KEYS if example.keys else {}), **example.environment}
    commands = [f"unset {name}" for name in exported if name not in wanted]
    commands += _exports({name: value for name, value in wanted.items() if exported.get(name) != value})
    if commands:
        yield from (*_bash(commands), "")
    exported.clear()
    exported.update(wanted)
    settings = _settings(mistake)
    yield from (*_toml(_CONFIG, example.config, {} if example.files else settings), "")
    for name, text in example.files.items():
        yield from (*_toml(name, text, settings), "")
    if example.files:
        yield from (*_bash([f"rm {name}" for name in example.files]), "")


def _settings(mistake: Entry) -> dict[str, str | int]:
    proof = mistake.proof
    if mistake.group == "off":
        # `codex exec` says so and works on; `codex app-server`, which every file is given to, does not start.
        return {"strict": str(proof["prints"]).removeprefix("Could not create otel exporter: ")}
    return {name: proof[name] for name in _FENCE_SETTINGS if name in proof}


def _exports(variables: Mapping[str, str]) -> list[str]:
    return [f'export {name}="{value}"' for name, value in variables.items()]


def _bash(commands: list[str]) -> list[str]:
    return ["```bash", *commands, "```"]


def _toml(title: str, text: str, settings: Mapping[str, str | int]) -> list[str]:
    written = [f'title="{title}"', *(f'{name}="{_setting(value)}"' for name, value in settings.items())]
    return [f"```toml {{{' '.join(written)}}}", *text.rstrip("\n").split("\n"), "```"]


def _setting(value: str | int) -> str:
    """Return the longest part that fits in a fence's first line, which has no backtick and no quote."""
    return max(re.split(r'[`"]', str(value)), key=len).strip(" ,") or str(value)


def _code(text: str) -> str:
    """Return ``text`` as code, also when it has backticks in it."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _yaml(text: str) -> str:
    return f'"{text}"' if ": " in text else text
