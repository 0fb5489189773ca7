"""The id sets made again: a key, a hash and a position of every record in the archive.

One object is in memory at a time. The key is that of the event as it was kept: its account and hour
are those of the object, its eventID is the record's own or the derived one in the manifest.
"""

import hashlib
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from opentrail.identity import event_key
from opentrail.record import RecordView, event_id_of
from opentrail_aggregator.archive.catalog import ArchivedRecord, Catalog
from opentrail_aggregator.consolidate.ids.idsets import IdSets

_VIEWS = msgspec.json.Decoder(RecordView)


def add_identities(catalog: Catalog, manifests: Iterable[str], ids: IdSets) -> Iterator[int]:
    """Add the events of those manifests; yields the number of records of each object.

    Several trails may have delivered one event: it is known by the first place it is found at.
    """
    for key in manifests:
        for entry in catalog.manifest(key).objects:
            records = list(catalog.records(entry))
            _add(records, ids)
            yield len(records)


def _add(records: list[ArchivedRecord], ids: IdSets) -> None:
    keys = [_key(record) for record in records]
    hashes = b"".join([hashlib.sha256(record.line).digest()[:8] for record in records])
    ids.add_bulk(
        keys,
        np.array([record.hour for record in records], dtype=np.int64),
        np.frombuffer(hashes, np.uint64),
        np.array([record.position for record in records], dtype=np.uint64),
    )


def _key(record: ArchivedRecord) -> bytes:
    event_id = event_id_of(_VIEWS.decode(record.line)) or record.derived_id
    return event_key(record.account, event_id, record.hour)
