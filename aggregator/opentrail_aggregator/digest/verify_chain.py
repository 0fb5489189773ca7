"""The digests of one chain in order: each by itself, against the one before, and the head.

The AWS CLI takes `previousDigest...` as a pointer only; here predecessor and successor must agree,
and the whole must agree with what HOME/digest remembers: the runs (from a starting digest to a
final one, with their numbers of digests) and the head.
"""

import hashlib

from opentrail.errors import DamagedError
from opentrail_aggregator.archive.destination import Destination, NoSuchObjectError
from opentrail_aggregator.digest.document import (
    HASH_ALGORITHM,
    METADATA_ALGORITHM,
    METADATA_SIGNATURE,
    SIGNATURE_ALGORITHM,
    Digest,
    event_span,
    string_to_sign,
)
from opentrail_aggregator.digest.keys import PublicKey
from opentrail_aggregator.digest.names import DigestKey, seconds_of, stamp_of_key, stamp_text
from opentrail_aggregator.digest.reading import read_digest
from opentrail_aggregator.digest.state import ChainState


class _Before:
    """The digest before the one that is looked at."""

    def __init__(self, key: str, digest: Digest, sha256: str, signature: str) -> None:
        self.key, self.digest, self.sha256, self.signature = key, digest, sha256, signature


class ChainCheck:
    """Takes the digests of a chain in order of their keys; `problems` is what is wrong."""

    def __init__(
        self,
        bucket: str,
        keys: dict[str, PublicKey],
        expected: ChainState | None,
        expected_later: ChainState | None,
        *,
        is_backfill: bool,
    ) -> None:
        """`expected` was read before the bucket was listed, `expected_later` after it."""
        self.problems: list[str] = []
        self._bucket = bucket
        self._keys = keys
        self._expected = expected
        self._later = expected_later
        self._is_backfill = is_backfill
        self._before: _Before | None = None
        self._broken = False
        """The one before cannot be read: nothing can be said about the link to it."""
        self._taken: set[str] = set()
        self._seen: dict[str, str] = {}
        self._starts: list[tuple[str, int]] = []
        """Key of each starting digest, and how many follow it, itself included."""

    def take(self, key: str, parts: DigestKey, destination: Destination) -> Digest | None:
        """Look at one digest; it is given back if its content can be believed."""
        self._taken.add(key)
        try:
            digest, data = read_digest(destination, key)
        except DamagedError as error:
            self._unreadable(str(error))
            return None
        except NoSuchObjectError:
            self._unreadable(f"{key}: was listed and is gone")
            return None
        info = destination.head(key)
        metadata = info.metadata if info is not None else {}
        sha256 = hashlib.sha256(data).hexdigest()
        signature = metadata.get(METADATA_SIGNATURE, "")
        self._seen[key] = sha256
        fault = self._signature_fault(digest, data, metadata)
        if fault:
            self._unreadable(f"{key}: {fault}")
            return None
        self._own_faults(key, parts, digest)
        self._link(key, digest)
        self._before, self._broken = _Before(key, digest, sha256, signature), False
        return digest

    def finish(self) -> None:
        """All digests were taken: compare with what is remembered."""
        expected = self._expected
        if expected is None or expected.head is None:
            if self._seen and self._later is None:
                first = next(iter(self._seen))
                self._say(first, "HOME/digest knows nothing of this chain; nobody can tell whether "
                          "digests are missing at its end")  # fmt: skip
            return
        head = expected.head
        if self._seen.get(head.key) is None:
            newest = max(self._seen, default="none")
            self._say(head.key, "the newest digest of this chain is missing or cannot be read; the "
                      f"last one found is {newest}")  # fmt: skip
        elif self._seen[head.key] != head.sha256:
            self._say(head.key, "is not the digest that HOME/digest remembers (sha256)")
        self._check_beyond(head.key)
        self._check_runs(expected)

    def _check_beyond(self, head_key: str) -> None:
        """Digests behind the head are there only if they were made while we looked."""
        known = set()
        if self._later is not None and self._later.head is not None:
            known.add(self._later.head.key)
            behind = self._later.head.key
        else:
            behind = head_key
        for state in (self._expected, self._later):
            if state is not None and state.intent is not None:
                known.add(state.intent.staged.key)
        for key in self._seen:
            if stamp_of_key(key) > stamp_of_key(max(head_key, behind, key=stamp_of_key)) and (
                key not in known
            ):
                self._say(key, f"lies behind the newest digest that is remembered, {head_key}")

    def _check_runs(self, expected: ChainState) -> None:
        runs = {run.first: run for run in expected.runs}
        last = expected.runs[-1].first if expected.runs else ""
        found = dict(self._starts)
        for first, run in runs.items():
            if first not in found:
                self._say(first, f"the starting digest of {run.digests} digests is missing")
            elif found[first] < run.digests or (found[first] > run.digests and first != last):
                self._say(
                    first,
                    f"{found[first]} digests follow from here (itself included), HOME/digest "
                    f"remembers {run.digests} up to {run.last}",
                )
        later = {run.first for run in self._later.runs} if self._later is not None else set()
        intents = {
            state.intent.staged.key
            for state in (self._expected, self._later)
            if state is not None and state.intent is not None
        }
        for first in found:
            if first not in runs and first not in later and first not in intents:
                self._say(first, "begins the chain anew, which HOME/digest does not remember")

    def _signature_fault(self, digest: Digest, data: bytes, metadata: dict[str, str]) -> str:
        text, algorithm = metadata.get(METADATA_SIGNATURE), metadata.get(METADATA_ALGORITHM)
        if not text or algorithm != SIGNATURE_ALGORITHM:
            return "its signature is not stored beside it (x-amz-meta-signature and -algorithm)"
        key = self._keys.get(digest.digestPublicKeyFingerprint)
        if key is None:
            return f"is signed with a key that is not ours: {digest.digestPublicKeyFingerprint}"
        try:
            signature = bytes.fromhex(text)
        except ValueError:
            return "its signature is not hexadecimal"
        if text != text.lower() or not key.verifies(signature, string_to_sign(digest, data)):
            return "its signature is wrong"
        return ""

    def _own_faults(self, key: str, parts: DigestKey, digest: Digest) -> None:
        start_s, end_s = seconds_of(digest.digestStartTime), seconds_of(digest.digestEndTime)
        if (digest.digestS3Bucket, digest.digestS3Object) != (self._bucket, key):
            self._say(key, f"was moved: it says s3://{digest.digestS3Bucket}/"
                      f"{digest.digestS3Object[:300]}")  # fmt: skip
        if start_s is None or end_s is None or start_s >= end_s:
            self._say(key, "its window is no span of time")
        elif stamp_text(end_s) != parts.stamp or parts.day.replace("/", "") != parts.stamp[:8]:
            self._say(key, "its name is not that of the end of its window")
        if digest.awsAccountId != parts.account:
            self._say(key, f"is of account {digest.awsAccountId[:40]}")
        if digest.digestSignatureAlgorithm != SIGNATURE_ALGORITHM:
            self._say(key, "names another signature algorithm")
        if (digest.newestEventTime, digest.oldestEventTime) != event_span(digest.logFiles):
            self._say(key, "its newest or oldest event time is not that of its log files")
        if any(file.hashAlgorithm != HASH_ALGORITHM for file in digest.logFiles):
            self._say(key, f"lists a log file with another hash than {HASH_ALGORITHM}")
        public = self._keys[digest.digestPublicKeyFingerprint]
        if end_s is not None and not self._is_backfill and not (
            public.valid_from <= end_s <= public.valid_until
        ):  # fmt: skip
            self._say(key, f"was signed with {public.fingerprint} outside of its validity")

    def _link(self, key: str, digest: Digest) -> None:
        before = self._before
        if digest.is_starting:
            self._starts.append((key, 1))
            return
        self._count()
        if None in (
            digest.previousDigestS3Bucket, digest.previousDigestS3Object,
            digest.previousDigestHashValue, digest.previousDigestSignature,
        ) or digest.previousDigestHashAlgorithm != HASH_ALGORITHM:  # fmt: skip
            self._say(key, "names only a part of its predecessor")
            return
        named = str(digest.previousDigestS3Object)
        if named not in self._taken:
            self._say(named[:1024], f"the digest before {key} is missing")
            return
        if self._broken or before is None:
            return  # Told already.
        if before.key != named:
            self._say(key, f"names {named} as its predecessor, which is not the one before it")
            return
        if digest.previousDigestS3Bucket != self._bucket:
            self._say(key, f"names a predecessor in bucket {digest.previousDigestS3Bucket}")
        if digest.previousDigestHashValue != before.sha256:
            self._say(before.key, f"was changed: {key} names another checksum of it")
        if digest.previousDigestSignature != before.signature:
            self._say(before.key, f"was signed anew: {key} names another signature of it")
        if not self._is_backfill and digest.digestStartTime != before.digest.digestEndTime:
            self._say(
                key,
                f"its window begins at {digest.digestStartTime}, the one before ended at "
                f"{before.digest.digestEndTime}",
            )

    def _count(self) -> None:
        if self._starts:
            first, number = self._starts[-1]
            self._starts[-1] = (first, number + 1)

    def _unreadable(self, problem: str) -> None:
        self.problems.append(problem)
        self._count()
        self._broken, self._before = True, None

    def _say(self, key: str, text: str) -> None:
        self.problems.append(f"{key}: {text}")
