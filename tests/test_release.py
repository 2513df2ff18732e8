"""The version, the day and the status that the changelog shows are those of the project."""

import datetime
import re
import tomllib

import pytest

from harness.fences.scanner import ROOT
from translations import CHINESE, DOCS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# pyproject's classifier, and the word for it on the page.
STATUS = {"Development Status :: 4 - Beta": {"en": "Beta", "zh": "测试版"}}


@pytest.mark.parametrize(("docs", "language"), [(DOCS, "en"), (CHINESE, "zh")])
def test_the_changelog_tells_version_day_and_status(docs, language: str) -> None:
    text = (docs / "contributing/changelog.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:Version|Day|Status|版本|日期|状态) \| (.+) \|$", text, re.M)
    version, day, status = rows
    assert version == PROJECT["version"]
    (classifier,) = STATUS.keys() & set(PROJECT["classifiers"])
    assert status.startswith(STATUS[classifier][language])
    newest = re.search(r"^## (\S+) \((\S+)\) \{ #v(\S+) \}$", text, re.M)
    assert newest.groups() == (version, day, version.replace(".", "-"))
    assert datetime.date.fromisoformat(day) <= datetime.date.today()


@pytest.mark.parametrize(
    "name",
    [
        *("lock", "refresh", "bench", "test", "site/screenshots.py"),
        "site/generate_pages.py",
    ],
)
def test_the_page_about_releasing_names_commands_that_are_there(name: str) -> None:
    assert f"scripts/{name}" in (DOCS / "contributing/releasing.md").read_text(encoding="utf-8")
    assert (ROOT / "scripts" / name).is_file()
