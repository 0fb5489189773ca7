"""Digests: signed, chained lists of what was delivered, exactly as AWS CloudTrail writes them.

    archive/deliverer → inbox → digester → Destination        one digest per chain and window
                                  │
                                  └→ HOME/digest: heads of the chains, outside the bucket

A chain is one trail, account and source region. `verify` reads the bucket against all of it and is
stricter than `aws cloudtrail validate-logs`.
"""
