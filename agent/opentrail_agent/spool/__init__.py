"""The spool: what was captured and is not yet in the aggregator's log, on the agent's own disk.

    SPOOL/lock           held by the one process that writes here
    SPOOL/standing       two slots: epoch, numbering, how far acknowledged, the log it belongs to
    SPOOL/segments/      frames of sealed batches (opentrail.segment)
    SPOOL/set-aside/     batches that the aggregator refused for good

`standing` is the rules over numbers alone, `spool` applies them to a disk, `writer` brings both to
asyncio with one thread that groups commits, `room` says whether there is space, `outgoing` and
`aside` write what is sent in place of a batch that can no longer be read or is never taken,
`inspect` is the tool for people.

What is promised: a sequence handed out by `append` survives a power cut; a batch leaves the disk
only after the aggregator acknowledged it; when there is no room the source waits.
"""
