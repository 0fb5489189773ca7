"""Files as an earlier release wrote them; each folder ends with the number of its format.

They are never made anew: a change that cannot read them has to bring a new number, and a reader for
the old one.
"""
