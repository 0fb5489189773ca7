"""CloudTrail's own API, so that an unmodified `aws` client works here.

    api (signature, caller) → Call → service → protocol → one module for each family → Reply

`operations` is the table of everything that exists at AWS: supported, or unsupported with its
reason; `docs/cloudtrail-api.md` is made of it. `model.json` is what AWS's published service model
says about inputs and errors, so that no SDK is needed at run time. What a call may see was decided
before it came here; this room asks search for events and ingest to write them.
"""
