"""The file of ``relay --price-file``."""

from pathlib import Path

import pytest

from codex_langfuse.relay.price_file import PriceFileError, read_price_file

pytestmark = [pytest.mark.macos, pytest.mark.windows]


def test_dollars_for_a_million_tokens(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('["gpt-5-codex"]\ninput = 1.25\ncached_input = 0.125\noutput = 10\n')
    (model,) = read_price_file(file)
    asked, answered = 1.25e-6, 1e-5
    assert model.tiers[""].kinds == {
        "input": asked,
        "input_cached_tokens": 1.25e-7,
        "input_cache_creation": asked,
        "output": answered,
        "output_reasoning_tokens": answered,
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[", "is not TOML"),
        ("x = 1", "must be a table with input and output"),
        ("[x]\ninput = 1", "must be a table with input and output"),
        ("[x]\ninput = 1\noutput = 1\ncolour = 2", r"colour is unknown; known: input, "),
        ('[x]\ninput = 1\noutput = "1"', "output must be dollars"),
        ("[x]\ninput = -1\noutput = 1", "input must be dollars"),
        ("[x]\ninput = nan\noutput = 1", "input must be dollars"),
    ],
)
def test_what_is_no_list_of_prices(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(PriceFileError, match=complaint):
        read_price_file(file)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(PriceFileError, match="cannot be read"):
        read_price_file(tmp_path / "prices.toml")
