"""Foreign bytes thrown at everything that reads them: mutated from a kept corpus, a bounded time.

`mutation` makes inputs, `targets` says what must hold for each reader, `corpus/TARGET/` holds where
it begins and every input that once broke something; those are tried in each `make test`.
"""
