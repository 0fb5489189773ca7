"""Who an agent is: the authority that signs, join tokens, certificates given out, revoked serials.

What lies in HOME/identity is primary data; the authority itself is HOME/pki/ca.crt and ca.key.
Nothing here decides about events: for whom an agent speaks is a grant, and grants are in the log.
"""
