"""Signatures for Amazon's managed domains (SigV4), made by opensearch-py's signer.

The only module that knows boto3 and opensearch-py; both come with the extra `opensearch` and are
looked for when a region is set, not before. Credentials are found and renewed by boto3's own chain.
"""

from collections.abc import Mapping
from typing import Any

from opentrail.errors import ConfigError


class Signer:
    """Signs requests for one domain."""

    def __init__(self, region: str, service: str) -> None:
        try:
            import boto3
            from opensearchpy.helpers.signer import AWSV4Signer
        except ImportError as error:
            raise ConfigError(
                f"opensearch.aws_region: {error}; pip install 'opentrail[opensearch]'"
            ) from error
        credentials = boto3.Session().get_credentials()
        if credentials is None:
            raise ConfigError(
                "opensearch.aws_region: no credentials of AWS are found; boto3 looks in the "
                "environment, ~/.aws, web identity and instance roles"
            )
        self._signer: Any = AWSV4Signer(credentials, region, service)

    def headers(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """All headers to send, the given ones among them."""
        signed = self._signer.sign(method, url, body or b"", dict(headers))
        return {str(name): str(value) for name, value in signed.items()}
