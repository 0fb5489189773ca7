"""The HTTP port: search, status, health, metrics, and what an operator does.

Before it: index, archive, quarantine and log, which it only reads, and ingest, which it asks to
write. `server.py` opens the port, `routes.py` says who may call what, one module for each kind of
question. Every handler stands behind one authorisation seam (`access.py`).
"""
