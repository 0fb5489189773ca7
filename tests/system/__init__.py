"""Real processes over gRPC and HTTP, killed, starved and lied to, then judged by one oracle.

These tests import nothing of the product: they start its commands, read what it prints and open
the files it promises.  `producer.py` writes events and notes what is owed for each, `processes.py`
runs an installation and breaks it, `archive.py` reads the archive as a stranger would, `oracle.py`
compares.  They may poll; nothing else in `tests/` may.
"""
