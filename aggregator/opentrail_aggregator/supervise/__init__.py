"""Processes: who starts them, who watches them, and how none outlives its parent.

Before this room comes the command line (`opentrail up`, `opentrail-aggregator run`); after it come
the roles. `restarts.py` decides when something that ended is started again, `child.py` is one
process, `supervisor.py` watches several, `runner.py` is what runs inside a role's process.
"""
