"""`opentrail verify`: whether everything that was ever delivered is there and as it was.

Stricter than `aws cloudtrail validate-logs`, which follows the chain as a pointer and looks at
nothing else. An account at a time:

    digests      signature, place, exactly one gzip member, the predecessor's bytes and signature,
                 windows that touch, the runs and the head that HOME/digest remembers
    log files    each listed one is there, one gzip member, its checksum; listed once
    besides      no log file that no digest lists (deliveries that wait for theirs excepted, and
                 trails without log file validation, where HOME vouches for the manifest)
    manifests    archive/verify: their chain, objects, counts and log positions

A log file is read, inflated and hashed once, for its digest and its manifest.

Streams: names of one account and one object's bytes are in memory at a time (one in each reader,
with several: archive/readers). It may run beside a working aggregator: HOME is read before and
after the bucket.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from opentrail.clock import Clock
from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail_aggregator.archive.contents import (
    MISSING,
    Content,
    Contents,
    Findings,
    OneByOne,
)
from opentrail_aggregator.archive.deliveries import DeliveryFolder
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.archive.keys import LOG_FOLDERS, read_key
from opentrail_aggregator.archive.ledger import read_ledger
from opentrail_aggregator.archive.roots import roots_of
from opentrail_aggregator.archive.verify import verify_manifests
from opentrail_aggregator.digest.document import Digest
from opentrail_aggregator.digest.expected import Expected, read_expected
from opentrail_aggregator.digest.inbox import read_all
from opentrail_aggregator.digest.keys import DigestKeys, PublicKey
from opentrail_aggregator.digest.names import (
    FOLDER,
    DigestKey,
    read_digest_key,
    seconds_of,
    stamp_of_key,
)
from opentrail_aggregator.digest.unvalidated import read_unvalidated
from opentrail_aggregator.digest.verify_chain import ChainCheck
from opentrail_aggregator.home import Home

_SECOND = 1_000_000_000


@dataclass(slots=True)
class Report:
    """What was looked at and what is wrong."""

    digests: int = 0
    log_files: int = 0
    """Listed in digests, there, and with the right checksum."""
    removed: int = 0
    """Listed, and removed since by archive.retention."""
    waiting: int = 0
    """Delivered, and in no digest yet because their window is open."""
    unvalidated: dict[str, int] = field(default_factory=dict)
    """Trail -> log files delivered while it had no log file validation: in no digest."""
    manifests: int = 0
    events: int = 0
    chains: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not self.problems


class Verifier:
    """One look at one archive."""

    def __init__(
        self,
        home: Home,
        destination: Destination,
        keys: DigestKeys,
        clock: Clock,
        *,
        prefix: str = "",
        progress: Callable[[str], None] = lambda _: None,
        files: Files = DISK,
        contents: Contents | None = None,
    ) -> None:
        self._home, self._files = home, files
        self._destination = destination
        self._keys = keys
        self._clock = clock
        self._prefix = prefix
        self._roots = roots_of(home, prefix, files)
        self._progress = progress
        self._known_keys: dict[str, dict[str, PublicKey]] = {}
        self._read: dict[str, tuple[str, int]] = {}
        self._unlisted: list[str] = []
        """Log files that no digest lists and none will."""
        self._unvalidated: dict[str, str] = {}
        self.report = Report()
        self._contents = contents or OneByOne(destination)
        self._found = Findings(self._contents, self.report.problems)

    def run(self) -> Report:
        """Look at everything."""
        accounts = set(self._accounts()) | {
            each.account for each in read_expected(self._home, self._files)
        }
        for account in sorted(accounts):
            self._account(account)
        self._found.settle()
        manifests = verify_manifests(
            self._home, self._destination, self._prefix, progress=self._progress, files=self._files,
            read=self._read,
            contents=self._contents,
            more_heads=lambda: read_unvalidated(self._home.digest, self._files),
        )  # fmt: skip
        self._judge_unlisted(self._unvalidated | manifests.unvalidated)
        self.report.manifests = manifests.manifests
        self.report.events = manifests.events
        self.report.problems += manifests.problems
        return self.report

    def _judge_unlisted(self, unvalidated: dict[str, str]) -> None:
        for log in self._unlisted:
            trail = unvalidated.get(log)
            if trail is None:
                self.report.problems.append(f"{log}: no digest lists this log file")
            else:
                self.report.unvalidated[trail] = self.report.unvalidated.get(trail, 0) + 1

    def _accounts(self) -> Iterator[str]:
        """Accounts with anything in the bucket, found without reading all of it."""
        for root in self._roots:
            yield from self._accounts_below(root)

    def _accounts_below(self, root: str) -> Iterator[str]:
        after = ""
        while True:
            first = next(iter(self._destination.list(root, after)), None)
            if first is None:
                return
            name = first.key[len(root) :].partition("/")[0]
            if len(name) == 12 and name.isdigit():
                yield name
            elif f"{root}{name}/" not in self._roots:
                self._found.say(f"{first.key}: does not belong into an archive")
            after = f"{root}{name}0"  # "0" follows "/": behind everything of the account.

    def _account(self, account: str) -> None:
        bases = [f"{root}{account}/" for root in self._roots]
        # In this order, since an aggregator may be working: an object is first on its way or
        # waiting, then in a digest that is put, then committed here.
        logs, strange = self._log_keys(bases)
        waiting = set()
        for delivery in DeliveryFolder(self._home.staging, self._files).read_all():
            if delivery.validates:
                waiting |= {each.key for each in delivery.objects}
            else:
                self._unvalidated |= {each.key: delivery.trail for each in delivery.objects}
        waiting |= {
            file.s3Object
            for entry in read_all(self._home.digest / "inbox", self._files)
            for file in entry.files
        }
        before = read_expected(self._home, self._files, account)
        chains: dict[tuple[str, ...], list[str]] = {}
        found = [each for base in bases for each in self._destination.list(f"{base}{FOLDER}/")]
        for each in found:
            key = read_digest_key(each.key)
            if key is None:
                strange.append(each.key)
                continue
            name = (key.region, key.trail, key.home_region, "backfill" if key.backfill else "")
            chains.setdefault(name, []).append(each.key)
        after = read_expected(self._home, self._files, account)
        self._found.say(*(f"{each}: does not belong into an archive" for each in strange))
        listed: set[str] = set()
        for keys in chains.values():
            keys.sort(key=stamp_of_key)  # A trail may have moved to another prefix.
        for chain in sorted(chains.keys() | before.by_name().keys()):
            self._chain(chain, chains.get(chain, []), before, after, listed)
        for log in logs:
            if log in listed:
                continue
            if log in waiting:
                self.report.waiting += 1
            else:
                self._unlisted.append(log)

    def _log_keys(self, bases: list[str]) -> tuple[list[str], list[str]]:
        logs, strange = [], []
        for base in bases:
            for each in self._destination.list(base):
                parts = read_key(each.key)
                if parts is not None:
                    if parts.folder in LOG_FOLDERS:
                        logs.append(each.key)
                elif not each.key.startswith(f"{base}{FOLDER}/"):
                    strange.append(each.key)
        return logs, strange

    def _chain(
        self,
        chain: tuple[str, ...],
        keys: list[str],
        before: Expected,
        after: Expected,
        listed: set[str],
    ) -> None:
        self.report.chains += 1
        region = chain[0]
        check = ChainCheck(
            self._destination.bucket,
            self._public_keys(region),
            before.by_name().get(chain),
            after.by_name().get(chain),
            is_backfill=bool(chain[3]),
        )
        for key in keys:
            self._progress(key)
            parts = read_digest_key(key)
            assert parts is not None
            digest = check.take(key, parts, self._destination)
            self.report.digests += 1
            if digest is not None:
                self._log_files(key, parts, digest, listed)
        check.finish()
        self._found.say(*check.problems)

    def _public_keys(self, region: str) -> dict[str, PublicKey]:
        if region not in self._known_keys:
            found = self._keys.public_keys(region)
            self._known_keys[region] = {each.fingerprint: each for each in found}
        return self._known_keys[region]

    def _log_files(
        self, digest_key: str, parts: DigestKey, digest: Digest, listed: set[str]
    ) -> None:
        found = self._found
        removed_before = read_ledger(self._home, self._destination.bucket, self._files).before_ns
        start_s = seconds_of(digest.digestStartTime) or 0
        may_be_removed = start_s * _SECOND < removed_before
        for file in digest.logFiles:
            key = file.s3Object
            name = read_key(key)
            if (
                file.s3Bucket != self._destination.bucket
                or name is None
                or (name.account, name.region) != (parts.account, parts.region)
            ):
                found.say(f"{digest_key}: lists {key[:300]}, which is not of its chain")
                continue
            if key in listed:
                found.say(f"{key}: is listed by more than one digest")
                continue
            listed.add(key)
            self._progress(key)
            found.look(key, partial(self._log_fault, key, file.hashValue, may_be_removed))

    def _log_fault(self, key: str, sha256: str, may_be_removed: bool, content: Content) -> str:
        if content.fault == MISSING and may_be_removed:
            self.report.removed += 1
            return ""
        if content.fault == MISSING:
            return f"{key}: the log file is missing, its digest lists it"
        if not content.sha256:
            return f"{key}: {content.fault}"
        if content.sha256 != sha256:
            return f"{key}: its content is not what its digest says (sha256)"
        self.report.log_files += 1
        if not content.fault:  # Else it is read again for its manifest, and told of.
            self._read[key] = (content.sha256, content.events)
        return ""


def verify(
    home: Home,
    destination: Destination,
    keys: DigestKeys,
    clock: Clock,
    *,
    prefix: str = "",
    progress: Callable[[str], None] = lambda _: None,
    files: Files = DISK,
    contents: Contents | None = None,
) -> Report:
    """Look at everything; `progress` is told each key. DamagedError if HOME cannot be read."""
    return Verifier(
        home, destination, keys, clock, prefix=prefix, progress=progress, files=files,
        contents=contents,
    ).run()  # fmt: skip


__all__ = ["DamagedError", "Report", "verify"]
