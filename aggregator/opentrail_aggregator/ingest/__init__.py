"""The aggregator's door: agents connect here, and what it acknowledges is on disk.

Before it comes the agent's shipper, behind it the log (`wal`), whose only writer it is. In the
order of a batch's way: `server` listens, `stream` speaks with one agent, `admission` decides,
`fair` takes turns between agents, `committer` hands groups to the log, `ledger` remembers which
numbers are held. Nothing here decompresses a batch or parses its JSON.
"""
