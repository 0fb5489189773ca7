"""Which index runs, which answers, and what the log waits for."""

from pathlib import Path

import pytest

from opentrail.errors import ConfigError
from opentrail_aggregator.app import DEFAULT_GROUPS, groups_in_use, parse_groups
from opentrail_aggregator.config import AggregatorSettings, load

URL = {"opensearch.url": "https://search.example:9200"}


def settings(tmp_path: Path, **overrides: str) -> AggregatorSettings:
    named = {name.replace("__", "."): value for name, value in overrides.items()}
    return load(None, {"home": str(tmp_path), **URL, **named})


@pytest.mark.parametrize(
    ("engine", "roles", "answers"),
    [
        ("embedded", ("index",), "embedded"),
        ("opensearch", ("opensearch",), "opensearch"),
        ("both", ("index", "opensearch"), "embedded"),
    ],
)
def test_the_engine_decides_roles_readers_and_who_answers(
    tmp_path: Path, engine: str, roles: tuple[str, ...], answers: str
) -> None:
    found = settings(tmp_path, index__engine=engine)
    assert found.indexes == roles
    assert found.log.readers == ("consolidate", *roles, "archive")
    assert found.search_engine == answers
    groups = groups_in_use(parse_groups(DEFAULT_GROUPS), found)
    assert sorted(role for group in groups for role in group) == sorted(
        ("ingest", "consolidate", *roles, "archive", "api")
    )


def test_opensearch_may_answer_while_both_are_written(tmp_path: Path) -> None:
    found = settings(tmp_path, index__engine="both", search__engine="opensearch")
    assert found.search_engine == "opensearch"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"search.engine": "opensearch"}, "index.engine is embedded"),
        ({"index.engine": "opensearch", "search.engine": "embedded"}, "index.engine is opensearch"),
        ({"index.engine": "lucene"}, "lucene"),
        ({"opensearch.url": "search:9200"}, "write https://host:9200"),
        ({"opensearch.url": "https://me:secret@search:9200"}, "no password in it"),
        ({"opensearch.user": "me"}, "belong together"),
        ({"opensearch.senders": "0"}, "senders"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_anything_starts(
    tmp_path: Path, overrides: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        load(None, {"home": str(tmp_path), **URL, **overrides})


def test_opensearch_without_an_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs opensearch\.url"):
        load(None, {"home": str(tmp_path), "index.engine": "opensearch"})
