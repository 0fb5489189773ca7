"""The log: the first durable copy, and everything else is derived from it.

Before it comes `ingest`, its only writer; behind it `consolidate`, `index` and `archive` read, each
with its own cursor. `log` says what a log must be able to do, so that Kafka can be one later;
`disk_log` writes the one on disk and `disk_reader` reads it from any process; `release` decides
what may go; `tools` looks inside.
"""
