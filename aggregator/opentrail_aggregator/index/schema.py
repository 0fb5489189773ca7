"""The tantivy schema, and the few things about opening an index that must not be forgotten.

What lies under which letter stands in `document`. The private layout of terms is not relied on:
paths and values are our own strings in one keyword field, so a wildcard is a regular expression
over "path NUL value" and a whole path is a prefix.

Every process registers the tokenizer after every open. Temporary files of a writer that was killed
(`.tmp…`, from its atomic writes) are never removed by the engine; here they are.
"""

import contextlib
import os
from functools import lru_cache
from pathlib import Path

import tantivy

from opentrail_aggregator.search.tokens import TOKEN_MAX_BYTES

SCHEMA_VERSION = 1
"""Raised with any change of schema, tokenizer or shape; other generations are begun anew."""
WORDS = "opentrail_words"


@lru_cache(maxsize=1)
def schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("t", fast=True)
    for name in ("p", "l", "h", "o"):
        builder.add_unsigned_field(name, fast=True)
    builder.add_text_field("k", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("w", tokenizer_name=WORDS, index_option="position")
    builder.add_ip_addr_field("a", fast=True)
    builder.add_integer_field("d", fast=True)
    for name in ("n0", "n1", "n2"):
        builder.add_float_field(name, fast=True)
    return builder.build()


@lru_cache(maxsize=1)
def words_analyzer() -> tantivy.TextAnalyzer:
    """Runs of letters and digits, in lower case."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(TOKEN_MAX_BYTES))
        .filter(tantivy.Filter.lowercase())
        .build()
    )


def create_or_open(directory: Path) -> tantivy.Index:
    """The index in `directory`, which must exist, for its writer."""
    for name in os.listdir(directory):
        if name.startswith(".tmp"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(directory / name)
    index = tantivy.Index(schema(), path=str(directory))
    return _ready(index)


def open_for_reading(directory: Path) -> tantivy.Index:
    """The index in `directory` as its last commit left it; follows commits only on `reload`."""
    return _ready(tantivy.Index.open(str(directory)))


def _ready(index: tantivy.Index) -> tantivy.Index:
    index.register_tokenizer(WORDS, words_analyzer())
    # The other policy looks for commits on its own, twice a second for every day.
    index.config_reader("manual")
    index.reload()
    return index


def is_panic(error: BaseException) -> bool:
    """Whether the engine panicked: an exception that is no Exception and cannot be imported."""
    return type(error).__name__ == "PanicException"
