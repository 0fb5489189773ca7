"""What a person writes for a place in S3, s3://BUCKET/PREFIX: read alike by both roles."""

from opentrail.errors import ConfigError

SCHEME = "s3://"


def parse_s3_url(text: str, where: str) -> tuple[str, str]:
    """Bucket and prefix; `where` is what the person wrote it for."""
    bucket, _, prefix = text.removeprefix(SCHEME).partition("/")
    if not text.startswith(SCHEME) or not bucket:
        raise ConfigError(f"{where}: {text!r} is not s3://BUCKET or s3://BUCKET/PREFIX")
    return bucket, prefix
