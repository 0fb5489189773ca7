"""Trails: which there are, which events each of them takes, and how they change.

`book` keeps them for the API and writes each change into the log; `trail` is what such a frame
holds. `reach` says whose events a trail hears of. `selectors` reads basic and advanced event
selectors as CloudTrail's API gives them and refuses what AWS refuses; `predicate` compiles them,
once per trail, to a test over a typed decode. The archive folds the frames and asks the predicate;
event history takes every event regardless.
"""
