"""How an agent gets a certificate by a join token, and the next one before that runs out.

The private key is made on this host and never leaves it: what travels is a certificate request.
"""
