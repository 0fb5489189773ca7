"""The digest's bytes, and what of them is signed.

    string to sign = end time LF bucket/key LF sha256 of the bytes, hex LF previous signature | null

without a line feed at its end. Members stand in the order of AWS's own digests. The same values
give the same bytes, so a digest that is made again after a crash is the same object.
"""

import hashlib

import msgspec

SIGNATURE_ALGORITHM = "SHA256withRSA"
HASH_ALGORITHM = "SHA-256"
METADATA_SIGNATURE = "signature"
METADATA_ALGORITHM = "signature-algorithm"
METADATA_BACKFILL = "backfill-generation-timestamp"
DIGEST_MAX_BYTES = 1 << 30
"""Uncompressed; about 400 bytes a log file."""


class LogFile(msgspec.Struct, kw_only=True, frozen=True):
    """One delivered object."""

    s3Bucket: str
    s3Object: str
    hashValue: str
    """SHA-256 of the uncompressed bytes."""
    hashAlgorithm: str = HASH_ALGORITHM
    newestEventTime: str
    oldestEventTime: str


class Digest(msgspec.Struct, kw_only=True):
    """One window of one chain; the names are AWS's."""

    awsAccountId: str
    digestStartTime: str
    digestEndTime: str
    digestS3Bucket: str
    digestS3Object: str
    digestPublicKeyFingerprint: str
    digestSignatureAlgorithm: str
    newestEventTime: str | None
    oldestEventTime: str | None
    previousDigestS3Bucket: str | None
    previousDigestS3Object: str | None
    previousDigestHashValue: str | None
    previousDigestHashAlgorithm: str | None
    previousDigestSignature: str | None
    logFiles: list[LogFile]

    @property
    def is_starting(self) -> bool:
        """All five members about a predecessor are null."""
        return (
            self.previousDigestS3Bucket is None
            and self.previousDigestS3Object is None
            and self.previousDigestHashValue is None
            and self.previousDigestHashAlgorithm is None
            and self.previousDigestSignature is None
        )


_decoder = msgspec.json.Decoder(Digest)


def encode_digest(digest: Digest) -> bytes:
    """The uncompressed bytes."""
    return msgspec.json.encode(digest)


def decode_digest(data: bytes) -> Digest:
    """The digest in uncompressed bytes; msgspec.MsgspecError if it is none."""
    return _decoder.decode(data)


def string_to_sign(digest: Digest, data: bytes) -> bytes:
    """What the signature of these bytes is made of."""
    return "\n".join(
        (
            digest.digestEndTime,
            f"{digest.digestS3Bucket}/{digest.digestS3Object}",
            hashlib.sha256(data).hexdigest(),
            digest.previousDigestSignature or "null",
        )
    ).encode()


def event_span(files: list[LogFile]) -> tuple[str | None, str | None]:
    """Newest and oldest event time of all files, None where there are none."""
    if not files:
        return None, None
    return max(each.newestEventTime for each in files), min(each.oldestEventTime for each in files)
