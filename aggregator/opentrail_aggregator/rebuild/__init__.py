"""A lost disk: a home made from the archive, that goes on where the archive ends.

    survey       which logs the bucket knows, how far each agent is in it
    identities   the id sets, from every record there
    digests      where their chains go on, and what is in none
    fresh_home   a new log and its stores, as if all positions before it had been released
    rebuild      the steps in order, safe to interrupt and begin again
    guard        no second history beside one that lost its disk

The new log's positions begin behind all positions of the logs before it, so a position still means
one frame; the index fills the hole from the archive by itself, as after any release. It brings back
what was delivered. What was not, agents send again as far as they still hold it; the quarantine is
in no archive.
"""
