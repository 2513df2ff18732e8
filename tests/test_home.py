"""The home page: its pictures show what the relay makes, and its paths take the time that they promise."""

import re
from pathlib import Path

import pytest

from codex_langfuse.exports import spans_in
from codex_langfuse.relay.policy import Content, Policy, User
from harness.recorded_truth import relayed, sent
from translations import CHINESE, DOCS

# Words a minute that people read technical English with, and more who try things while reading.
QUICK, SLOW = 400, 60

HOME = (DOCS / "index.md").read_text(encoding="utf-8")
PATHS = re.findall(r"^### [^\n]*\{ #([\w-]+) \}\n(.*?)(?=^##|\Z)", HOME, re.M | re.S)


def minutes(text: str) -> int | None:
    found = re.search(r"^\*(?:About |大约 )(\d+) ", text, re.M)
    return int(found[1]) if found else None


def words(target: str) -> int:
    """The words of prose on a page, or in the section of it that the link leads to."""
    path, _, section = target.partition("#")
    text = Path(DOCS, path).read_text(encoding="utf-8")
    if section:
        text = re.search(rf"^#+ [^\n]*\{{ #{section} \}}\n.*?(?=^## |\Z)", text, re.M | re.S)[0]
    text = re.sub(r"<!-- generated: .*?<!-- end -->|^ *```.*?^ *```", "", text, flags=re.M | re.S)
    return len(re.findall(r"\w+", text))


@pytest.mark.parametrize(("section", "text"), PATHS, ids=[section for section, _ in PATHS])
def test_a_path_takes_the_time_it_says(section: str, text: str) -> None:
    promised = minutes(text)
    if promised is None:
        assert section == "look-up"  # no path to walk
        return
    steps = re.sub(r"^(?!\d\.|   ).*$", "", text, flags=re.M)
    count = sum(words(target) for target in re.findall(r"\]\(([\w/#.-]+)\)", steps))
    assert count / QUICK <= promised <= count / SLOW, f"{count} words"


def test_both_languages_promise_the_same() -> None:
    chinese = (CHINESE / "index.md").read_text(encoding="utf-8")
    promised = re.findall(r"^\*大约 (\d+) 分钟", chinese, re.M)
    assert list(map(int, promised)) == [minutes(text) for _, text in PATHS if minutes(text)]


# What langfuse-after-turn.webp shows: Langfuse 4.16.0 with the two recorded turns. There each exec is beside
# the model call that asked for it; the page says that the relay now puts it under the call.
AFTER = """
codex turn
  model call 12056 0.021854
    exec
      exec_command
  model call 12780 0.020633
    exec
      apply_patch
      exec_command
  model call 13256 0.013384
codex turn
  model call 13833 0.013688
    exec
      exec_command ERROR
  model call 14376 0.013024
    exec
      exec_command
  model call 14727 0.011499
"""


def test_the_relay_makes_what_the_pictures_show() -> None:
    policy = Policy(content=Content.FULL, user=User.parse("ada"))
    observations = relayed(sent("real-use/0.171.0-two-turns-with-text"), policy).observations
    below: dict[str | None, list] = {}
    ids = {each["id"] for each in observations}
    for each in sorted(observations, key=lambda each: each["startTime"]):
        parent = each["parentObservationId"]
        below.setdefault(parent if parent in ids else None, []).append(each)

    def lines(parent: str | None, indent: str) -> list[str]:
        found = []
        for each in below.get(parent, []):
            tokens, cost = each["usageDetails"].get("total", ""), each["totalCost"]
            level = each["level"].replace("DEFAULT", "")
            words = [each["name"], *(f"{tokens} {cost:.6f}".split() if tokens else []), level]
            found += [indent + " ".join(filter(None, map(str, words))), *lines(each["id"], f"{indent}  ")]
        return found

    assert lines(None, "") == AFTER.strip().splitlines()
    assert {each["userId"] for each in observations} == {"ada"}
    assert len({each["sessionId"] for each in observations}) == 1
    asked = [each["input"] for each in below[None]]
    assert asked == ["Why does the test fail? Fix it.", "Lint it, too."]
    tokens = sum(each["usageDetails"].get("total", 0) for each in observations)
    cost = sum(each["totalCost"] for each in observations)
    assert (len(observations), tokens, round(cost, 6)) == (17, 81_028, 0.094082)
    for docs in (DOCS, CHINESE):
        text = (docs / "index.md").read_text(encoding="utf-8")
        assert all(number in text for number in ("17 ", "81,028", "$0.094"))


def test_exported_directly_they_are_what_the_page_says() -> None:
    spans = spans_in(
        each.message.SerializeToString()
        for each in sent("real-use/0.171.0-two-turns-with-text")
        if each.signal == "traces"
    )
    numbers = (f"{len(spans):,}", f" {len({span.trace_id for span in spans})} ")
    assert numbers == ("1,502", " 59 ")
    for docs in (DOCS, CHINESE):
        text = (docs / "index.md").read_text(encoding="utf-8")
        assert all(number in text for number in numbers)
