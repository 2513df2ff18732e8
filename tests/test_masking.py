"""The forms of secrets: each is masked, ordinary text stays, and the time grows with the text only."""

import time
from re import _constants, _parser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_langfuse.masking import FORMS, MASK, has_secret, mask_secrets

LOOKS = [(form, looks, sample) for form in FORMS for looks, sample in form.looks.items()]


@pytest.mark.parametrize(("form", "looks", "sample"), LOOKS, ids=[looks for _, looks, _ in LOOKS])
def test_a_form_is_masked_and_the_words_around_it_stay(form, looks: str, sample: str) -> None:
    text, masked = looks.replace("…", sample), looks.replace("…", MASK)
    assert mask_secrets(text) == masked
    assert mask_secrets(masked) == masked
    assert has_secret(text)
    assert mask_secrets(f"run {text}\nand go on") == f"run {masked}\nand go on"


@given(parts=st.lists(st.sampled_from(LOOKS), min_size=2, max_size=6))
def test_several_secrets_in_one_text(parts) -> None:
    shown = mask_secrets("\n".join(looks.replace("…", sample) for _, looks, sample in parts))
    assert not [sample for _, _, sample in parts if sample in shown]


ORDINARY = """\
max_tokens: 4096 and total_token_count=1250
{"input_tokens": 1234567, "output_tokens": 12}
the password is long
ls -la /etc && cat pyproject.toml
risk-free sk-learn tasks, sk-learn-contrib-package
task-runner-with-a-long-name-indeed
asks-for
token: none
token = get_token()
password = os.environ["X"]
password: string
secret_name: database
tokenizer = "cl100k_base"
api_key=$API_KEY
PASSWORD=${PASSWORD}
Authorization: Basic ${LANGFUSE_AUTH}
env_key = "OPENAI_API_KEY"
PWD=/home/ada/x
bypass: enabled
compass: north-east
one-password manager
author = "Ada"
basic understanding of it
basic JavaScript course
docker run -u 1000:1000 image
docker login -u me --password-stdin registry.example.com
git push -u origin main:main
git@github.com:x/y.git
ssh://git@github.com/x
http://localhost:3000/@x
http://[::1]:3000/@x
https://example.com/@ada/post
mysql -u ada -p shop
cookie: yes
primary key: id_of_row
keyboard: english"""


@pytest.mark.parametrize("text", ORDINARY.splitlines())
def test_ordinary_text_stays(text: str) -> None:
    assert mask_secrets(text) == text


def test_a_letter_that_grows_in_lower_case_moves_nothing() -> None:
    assert mask_secrets("\u0130\u0130 password=hunter22 end") == f"\u0130\u0130 password={MASK} end"


def _repeated(unit: str, length: int) -> str:
    return (unit * (length // len(unit) + 1))[:length]


def _seconds(text: str) -> float:
    started = time.process_time()
    mask_secrets(text)
    return time.process_time() - started


UNITS = sorted(
    {
        *(looks.split("…")[0] + end for _, looks, _ in LOOKS for end in ("", "z", "z ")),
        *(anchor + end for form in FORMS for anchor in form.anchors for end in ("", "-", "_ ", "=", '"')),
        *("@", "://", "-", "a", "'", "\\", '"', ":a@", "a:b@", "=a@", "-- "),
    }
)


@pytest.mark.slow
def test_time_grows_with_the_text_and_not_with_its_square() -> None:
    """Eight times the text takes about eight times as long, whatever is repeated; a square would take 64."""
    slow = []
    for unit in UNITS:
        short, long = _repeated(unit, 1_000), _repeated(unit, 8_000)
        for _ in range(3):
            floor = max(min(_seconds(short) for _ in range(3)), 1e-4)
            growth = _seconds(long) / floor
            if growth < 24:
                break
        else:
            slow.append((unit, round(growth)))
    assert not slow


def test_what_repeats_without_a_limit_is_possessive() -> None:
    """What such a repetition took is never given back and tried again."""

    def unlimited(parsed) -> list:
        found = []
        for name, value in parsed:
            if name in (_constants.MAX_REPEAT, _constants.MIN_REPEAT) and value[1] == _constants.MAXREPEAT:
                found.append(value)
            parts = value if isinstance(value, tuple) else (value,)
            for part in parts:
                for inner in part if isinstance(part, list) else (part,):
                    if isinstance(inner, _parser.SubPattern):
                        found += unlimited(inner)
        return found

    assert unlimited(_parser.parse("(?:a|(b+))c"))
    assert not [form.pattern.pattern for form in FORMS if unlimited(_parser.parse(form.pattern.pattern))]
