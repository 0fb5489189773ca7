"""Making one digest: what is in it, its signature, its bytes. Decides nothing and puts nothing."""

import gzip
import hashlib

from opentrail_aggregator.archive.deliveries import StagedObject
from opentrail_aggregator.archive.destination import METADATA_BYTES, METADATA_SHA256
from opentrail_aggregator.archive.keys import time_text
from opentrail_aggregator.digest.document import (
    HASH_ALGORITHM,
    METADATA_ALGORITHM,
    METADATA_BACKFILL,
    METADATA_SIGNATURE,
    SIGNATURE_ALGORITHM,
    Digest,
    encode_digest,
    event_span,
    string_to_sign,
)
from opentrail_aggregator.digest.inbox import Delivered
from opentrail_aggregator.digest.keys import SigningKey
from opentrail_aggregator.digest.names import digest_key, stamp_text, trail_names
from opentrail_aggregator.digest.state import ChainState, Intent

_GZIP_LEVEL = 6


def sign_digest(
    chain: ChainState,
    entries: list[Delivered],
    signer: SigningKey,
    start_s: int,
    end_s: int,
    *,
    final: bool = False,
    generated_s: int | None = None,
) -> tuple[Intent, bytes]:
    """The digest of `entries`, and the gzip member to store. `generated_s` is for backfill."""
    name, home_region = trail_names(chain.trail)
    root, bucket = chain.root, chain.bucket
    if entries:
        root, bucket = entries[-1].root, entries[-1].bucket  # A trail may have moved.
    key = digest_key(
        root, chain.account, chain.region, name, home_region, end_s, backfill=chain.backfill
    )
    files = [file for entry in entries for file in entry.files]
    newest, oldest = event_span(files)
    head = chain.head if chain.chained else None
    digest = Digest(
        awsAccountId=chain.account,
        digestStartTime=time_text(start_s),
        digestEndTime=time_text(end_s),
        digestS3Bucket=bucket,
        digestS3Object=key,
        digestPublicKeyFingerprint=signer.public.fingerprint,
        digestSignatureAlgorithm=SIGNATURE_ALGORITHM,
        newestEventTime=newest,
        oldestEventTime=oldest,
        previousDigestS3Bucket=head.bucket if head else None,
        previousDigestS3Object=head.key if head else None,
        previousDigestHashValue=head.sha256 if head else None,
        previousDigestHashAlgorithm=HASH_ALGORITHM if head else None,
        previousDigestSignature=head.signature if head else None,
        logFiles=files,
    )
    data = encode_digest(digest)
    signature = signer.sign(string_to_sign(digest, data)).hex()
    sha256 = hashlib.sha256(data).hexdigest()
    metadata = {
        METADATA_SHA256: sha256,
        METADATA_BYTES: str(len(data)),
        METADATA_SIGNATURE: signature,
        METADATA_ALGORITHM: SIGNATURE_ALGORITHM,
    }
    if generated_s is not None:
        metadata[METADATA_BACKFILL] = time_text(generated_s)
    stored = gzip.compress(data, _GZIP_LEVEL, mtime=0)
    staged = StagedObject(
        key=key,
        file=f"{chain.name}-{stamp_text(end_s)}.gz",
        sha256=sha256,
        bytes=len(data),
        stored_bytes=len(stored),
        metadata=metadata,
    )
    intent = Intent(
        bucket=bucket,
        staged=staged,
        signature=signature,
        start_s=start_s,
        end_s=end_s,
        starting=head is None,
        final=final,
        entries=[entry.name for entry in entries],
    )
    return intent, stored
