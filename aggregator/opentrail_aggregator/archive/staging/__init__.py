"""Staging: events of parts that are not cut yet, in sorted runs on disk instead of open files.

Ninety days imported in random order have tens of thousands of parts open at once. So events are
buffered in memory and written out as runs: files sorted by part, each covering a stretch of the
log. A part is read by picking its slices from every run in turn, which is log order; runs with
small slices are merged so that this stays cheap. Everything here can be made again from the log.
"""
