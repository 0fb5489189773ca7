"""`docs/search.md` names every field, limit and sign that the code knows."""

from pathlib import Path

import pytest

from opentrail_aggregator.index import shape
from opentrail_aggregator.search import fields, parser, tokens

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "search.md").read_text()


@pytest.mark.parametrize(
    "name",
    [
        *fields.KEYWORDS, *fields.TREES, *fields.NUMBERS, *fields.LOOKUP_ATTRIBUTES, *fields.OWN,
        fields.CREATION_DATE, "eventTime", "sourceIPAddress",
    ],
)  # fmt: skip
def test_a_field_is_documented(name: str) -> None:
    assert f"`{name}`" in TEXT


@pytest.mark.parametrize("name", sorted(fields.NOT_IN_TEXT - {"eventId"}))
def test_what_words_do_not_search_is_documented(name: str) -> None:
    paragraph = TEXT[TEXT.index("**Words**") : TEXT.index("## Fields")]
    assert f"`{name}`" in paragraph


@pytest.mark.parametrize(
    "number",
    [
        parser.DEPTH_MAX, parser.TERMS_MAX, parser.QUERY_MAX_CHARACTERS, tokens.TOKEN_MAX_BYTES,
        shape.VALUE_MAX_CHARACTERS, shape.PATH_MAX_CHARACTERS, shape.LEAVES_MAX, shape.DEPTH_MAX,
    ],
)  # fmt: skip
def test_a_limit_is_documented_as_it_is(number: int) -> None:
    assert f"{number:,}" in TEXT


@pytest.mark.parametrize("mark", ["cut", "deep", "many", "wrapped", "replaced", "raw"])
def test_a_mark_is_documented(mark: str) -> None:
    assert f"`{mark}`" in TEXT
