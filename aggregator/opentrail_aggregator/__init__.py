"""The aggregator: ingest -> wal -> consolidate -> index and archive; search, api and cli read them.

`app.py` is the map. The agent is known only by what it sends (`opentrail.v1`, `opentrail.batch`).
"""
