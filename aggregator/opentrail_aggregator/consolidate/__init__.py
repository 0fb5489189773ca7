"""Consolidate: of what all agents sent, what is one event, whose it is and where it belongs.

Reads the log once, behind ingest, and writes one verdict per log frame: which events are kept,
which are copies, conflicts or refused, and of which account, region and hour each is. Index and
archive read log and verdicts together and decide nothing of that kind again.
"""
