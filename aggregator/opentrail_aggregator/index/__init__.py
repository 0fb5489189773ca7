"""The embedded index: every kept event of the last 90 days, searchable within two seconds.

Before it: consolidate, whose verdicts say which events of the log are kept. After it: search, which
asks questions. One process writes (`indexer`), any number read (`engine`); both meet only in files:

    index/CURRENT                       the name of the generation that answers
    index/g000001/state                 how far it is in the log, what has expired from it
    index/g000001/2026-11-24/terms/     a tantivy index: terms, times, positions
    index/g000001/2026-11-24/records    the records' bytes, in compressed blocks

A generation is thrown away and made anew, never converted: the log and the archive hold everything.
"""
