"""Each Chinese page says what its English page says now, in good Chinese, with the same code."""

import re
import shutil
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path

import autocorrect_py
import pytest

import translations
from harness.fences.pages import chinese_pages
from harness.fences.scanner import ONLY_CHINESE, ROOT, scan
from translations import CHINESE

PAGES = translations.english_pages()
TWINS = {translations.english(page): translations.chinese(page) for page in PAGES}
TWINS |= {theirs: ours for ours, theirs in TWINS.items()}
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Files with Chinese outside the pages, but for the lists of words to avoid and of words that people type.
WORDS = [
    file
    for folder in ("scripts/site", "src")
    for file in sorted((ROOT / folder).rglob("*.toml"))
    if _CHINESE.search(file.read_text(encoding="utf-8"))
    and file.name not in ("glossary.toml", "search_words.toml")
]
GLOSSARY = tomllib.loads((ROOT / "scripts/site/glossary.toml").read_text(encoding="utf-8"))["term"]

_HEADING = re.compile(r"^(?P<level>#{1,6}) .*?(?:\{ #(?P<id>[\w-]+) \})?$", re.M)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_CODE_OR_TARGET = re.compile(r"`[^`\n]+`|(?<=\])\([^)\s]+\)")


def without_fences(file: Path) -> str:
    """The page without its fences, which are the English page's."""
    text = file.read_text(encoding="utf-8")
    for fence in reversed(scan(file)):
        text = text[: fence.start] + text[fence.end :]
    return text


def prose(file: Path) -> str:
    """The page without its fences and front matter."""
    return re.sub(r"\A---\n.*?\n---\n", "", without_fences(file), flags=re.S)


def shared(file: Path) -> str:
    """The prose without the parts that only the Chinese page has."""
    return ONLY_CHINESE.sub("", prose(file))


@pytest.mark.parametrize("page", PAGES)
def test_translation_is_current(page: str) -> None:
    word = translations.state(page)
    assert word == "current", f"{word}. What changed: scripts/translations diff {page}"


@pytest.mark.parametrize("page", PAGES)
def test_same_code(page: str) -> None:
    """Diagrams are the exception: their words are Chinese, their nodes and edges the same."""
    english = scan(translations.english(page))
    chinese = [fence for fence in scan(translations.chinese(page)) if not fence.own]
    assert [fence.language for fence in chinese] == [fence.language for fence in english]
    for ours, theirs in zip(chinese, english, strict=True):
        assert ours.settings == theirs.settings, f"{ours.place} and {theirs.place}"
        if ours.language == "mermaid":
            assert skeleton(ours.source) == skeleton(theirs.source), f"{ours.place} and {theirs.place}"
        else:
            assert ours.written == theirs.written, f"{ours.place} and {theirs.place}"


def skeleton(diagram: str) -> str:
    """A diagram without the words that are translated: labels, title, description."""
    kept = r"\s*acc(?:Title|Descr):|\s*participant \w+ as|\s*\w+-{1,2}>>\w+:"
    return re.sub(rf"(?m)^({kept}).*$|\[[^\]]*\]|\([^)]*\)|\|[^|]*\||\"[^\"]*\"", r"\1", diagram)


@pytest.mark.parametrize("page", PAGES)
def test_same_headings(page: str) -> None:
    def headings(file: Path) -> list[tuple[str, str]]:
        return [(match["level"], match["id"]) for match in _HEADING.finditer(shared(file))]

    assert headings(translations.chinese(page)) == headings(translations.english(page))


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md"])
def test_headings_have_ids(page: str) -> None:
    """A heading's address is the same in both languages and does not change with its words."""
    for file in (translations.english(page), translations.chinese(page)):
        assert all(match["id"] for match in _HEADING.finditer(prose(file)))


@pytest.mark.parametrize("page", PAGES)
def test_same_links(page: str) -> None:
    """A link leads to the twin of what the English one leads to.

    A picture's twin is beside it: of ``page.en.webp``, ``page.zh.webp``. Other files have no twin.
    """

    def links(file: Path) -> list[tuple[Path | str, str]]:
        """Return what each link leads to, as (file or address, id in it)."""
        targets = (match["target"].partition("#") for match in _LINK.finditer(shared(file)))
        return [
            (path if "://" in path else (file.parent / path).resolve() if path else file, id_)
            for path, _, id_ in targets
        ]

    def twin(target: Path | str) -> Path | str:
        if isinstance(target, Path) and target.name.endswith((".en.webp", ".en.svg")):
            return target.with_suffix("").with_suffix(f".zh{target.suffix}")
        return TWINS.get(target, target)

    ours, theirs = links(translations.chinese(page)), links(translations.english(page))
    assert Counter(ours) == Counter((twin(path), id_) for path, id_ in theirs)


@pytest.mark.parametrize("page", chinese_pages(), ids=lambda file: file.relative_to(ROOT).as_posix())
def test_chinese_page_has_an_english_one(page: Path) -> None:
    assert page in map(translations.chinese, PAGES)


def test_only_chinese_pages_have_parts_of_their_own() -> None:
    assert not any(ONLY_CHINESE.search(translations.english(page).read_text("utf-8")) for page in PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_terms_are_those_of_the_glossary(page: str) -> None:
    english, chinese = prose(translations.english(page)).lower(), prose(translations.chinese(page))
    english = _CODE_OR_TARGET.sub("", english)  # not words: `AGENTS.md`, (concepts/signals.md)
    for term in GLOSSARY:
        for wrong in term["avoid"]:
            assert wrong not in chinese, f"{term['en']} is {term['zh']}, not {wrong}"
        if term["en"] != "you" and re.search(rf"\b{term['en']}s?\b", english):
            assert term["zh"].lower() in chinese.lower(), f"{term['en']} is {term['zh']}"


@pytest.mark.parametrize("page", PAGES)
def test_spacing_and_punctuation(page: str) -> None:
    result = autocorrect_py.lint_for(without_fences(translations.chinese(page)), "markdown")
    assert not result.lines, "\n".join(f"{line.old} -> {line.new}" for line in result.lines)


def strings(document: object) -> Iterator[str]:
    """Yield every text of a parsed TOML file."""
    match document:
        case str():
            yield document
        case dict():
            yield from chain.from_iterable(map(strings, document.values()))
        case list():
            yield from chain.from_iterable(map(strings, document))


@pytest.mark.parametrize("file", WORDS, ids=lambda file: file.name)
def test_chinese_outside_the_pages(file: Path) -> None:
    """What tables, the page of the mock and reports of the test plan are made of."""
    wrong_words = [wrong for term in GLOSSARY for wrong in term["avoid"]]
    for text in filter(_CHINESE.search, strings(tomllib.loads(file.read_text(encoding="utf-8")))):
        result = autocorrect_py.lint_for(text, "markdown")
        assert not result.lines, "\n".join(f"{line.old} -> {line.new}" for line in result.lines)
        assert not [wrong for wrong in wrong_words if wrong in text], text


@pytest.mark.parametrize("page", PAGES)
def test_no_line_break_inside_a_paragraph(page: str) -> None:
    """A line break between two Chinese characters is drawn as a space."""
    lines = prose(translations.chinese(page)).splitlines()
    plain = re.compile(r"^\s*[^\s#|<>!=\-*+:`~\[\d{]")
    broken = [second for first, second in pairwise(lines) if plain.match(first) and plain.match(second)]
    assert not broken


def test_the_chinese_tree_has_its_own_folder_only() -> None:
    """Static-i18n takes any two-letter folder right under docs/ for a language."""
    assert [
        folder.name for folder in (ROOT / "docs").iterdir() if re.fullmatch(r"[a-z]{2}", folder.name)
    ] == [CHINESE.name]


def test_a_generated_table_makes_no_translation_stale() -> None:
    page = "words\n<!-- generated: x -->\n{}\n<!-- end -->\nmore\n"
    assert translations.fingerprint(page.format("1")) == translations.fingerprint(page.format("2"))
    assert translations.fingerprint(page) != translations.fingerprint(page.replace("more", "other"))


def test_status_diff_and_done(tmp_path: Path) -> None:
    """The command, on a copy with a history of its own."""
    for folder in ("docs/zh", "scripts/site"):
        (tmp_path / folder).mkdir(parents=True)
    script = tmp_path / "scripts/translations"
    for name in ("scripts/translations", "scripts/site/translations.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("README.md", "docs/page.md"):
        (tmp_path / name).write_text("# One\n\nfirst\n", encoding="utf-8")

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def command(*arguments: str) -> tuple[int, str]:
        result = subprocess.run([script, *arguments], capture_output=True, text=True, check=False)
        return result.returncode, result.stdout + result.stderr

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    assert command("status")[0] == 1
    assert "missing   page.md" in command("status")[1]
    assert command("done", "page.md")[0] == 2
    (tmp_path / "docs/zh/page.md").write_text("---\ndescription: 一\n---\n# 一\n", encoding="utf-8")
    (tmp_path / "README.zh.md").write_text("# 一\n", encoding="utf-8")
    assert "unpinned  page.md" in command("status")[1]
    assert command("done", "page.md", "README.md") == (0, "")
    assert command("status") == (0, "")
    (tmp_path / "docs/page.md").write_text("# One\n\nsecond\n", encoding="utf-8")
    assert "stale     page.md" in command("status")[1]
    assert "-first\n+second" in command("diff", "page.md")[1]
    assert command("done", "no-such.md")[0] == 2
