"""Search: what a person asks, and the order in which answers come.

Before it: index (and later OpenSearch), which hold the events. After it: the HTTP API and the
commands. This room owns the meaning of a query and nothing of any engine: the text is parsed once
to a small tree (`parser`, `tree`, `fields`, `dates`), engines compile the tree (`engine` is what
they implement), and `docs/search.md` is the one table that both must agree with.
"""
