"""Archive: every kept event in CloudTrail's own layout, once, for years, with a manifest per cut.

    log + verdicts -> gather -> staging -> cut -> deliveries -> destination (directory or S3)

`archiver` is the role. What it writes follows from the log alone: which events make a part is
decided by seals in the log (`settle` decides when to ask for one), and names come from positions.
So any crash repeats work with the same result, and a lost archive can be made again while the log
lasts. `catalog`, `figures` and `verify` read what was delivered; `tools` serves the command line.
"""
