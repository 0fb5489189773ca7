"""`opentrail up --archive`: what the place on the command line makes of the settings."""

import argparse
from pathlib import Path

import pytest

from opentrail.errors import ConfigError
from opentrail_aggregator.cli.settings_of_home import remember, settings_of
from opentrail_aggregator.cli.up import aggregator_of, overrides_of
from opentrail_aggregator.home import Home


def settings_for(home: Path, archive: str | None) -> tuple[str, str, str]:
    options = argparse.Namespace(http=None, grpc=None, opensearch=None, archive=archive)
    overrides = overrides_of(Home(home), options)
    settings, spec = aggregator_of(Home(home), overrides)
    remember(home, overrides)
    assert settings_of(home).archive == settings.archive, "other commands look elsewhere"
    for each in spec.argv:
        assert not each.endswith("="), "a setting without a value is refused"
    return settings.archive.destination, settings.archive.bucket, settings.archive.prefix


@pytest.mark.parametrize(
    ("archive", "found"),
    [
        (None, ("local", "opentrail", "")),
        ("s3://acme-trail", ("s3", "acme-trail", "")),
        ("s3://acme-trail/", ("s3", "acme-trail", "")),
        ("s3://acme-trail/team/audit/", ("s3", "acme-trail", "team/audit")),
    ],
)
def test_bucket_and_prefix_are_taken_from_the_place(
    tmp_path: Path, archive: str | None, found: tuple[str, str, str]
) -> None:
    assert settings_for(tmp_path, archive) == found


@pytest.mark.parametrize("archive", ["acme-trail", "s3:/acme", "s3://", "gs://acme-trail"])
def test_what_is_no_place_in_s3_is_refused(tmp_path: Path, archive: str) -> None:
    with pytest.raises(ConfigError, match="--archive"):
        settings_for(tmp_path, archive)
