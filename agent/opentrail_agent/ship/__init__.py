"""The shipper: what the spool holds, to the aggregator, until it says that it has it on disk.

    session      what to send, and what an answer means: decisions only, no I/O, no clock
    backoff      when and where to try again
    dial         certificates and channel options
    heartbeat    what the agent says about itself
    connection   one stream: moves messages, does what the session decided
    shipper      one connection after another, for as long as the agent lives

A batch is sent as the bytes that lie in the spool, again and again until acknowledged; the number
and the digest beside it let the aggregator know it again. Nothing here parses an event.
"""
