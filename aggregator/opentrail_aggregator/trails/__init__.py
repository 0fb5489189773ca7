"""Trails: which events each of them takes.

`selectors` reads basic and advanced event selectors as CloudTrail's API gives them and refuses what
AWS refuses; `predicate` compiles them, once per trail, to a test over a typed decode. The archive
asks the predicate; event history takes every event regardless.
"""
