"""The exact set of all event ids seen, on disk, in little memory.

`rows` says what is kept of an id, `run` is one sorted file of them, `merge` makes one run of
several, `idsets` is the set: a table in memory in front of the runs, and the manifest of the runs.
"""
