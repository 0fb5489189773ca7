"""`opentrail doctor`: finds the commonest mistakes of an installation, and says how to end each.

It reads and changes nothing. What it finds is what a person would be asked first when something
does not work; what the running processes find themselves is in `opentrail status`.
"""
