"""A believable stream of CloudTrail records to try OpenTrail with; off unless asked for.

`world.py` is who and what there is, `shapes.py` what can happen, `stream.py` puts both together
into records, `producer.py` writes them to files as an application would, rotation included. The
agent then follows these files like any others: nothing of the sample takes a shorter way.
"""
