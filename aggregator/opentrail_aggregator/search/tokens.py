"""What a word is to a bare word: a run of letters and digits, in lower case.

Engines split text by their own means; this is what they must agree with, and what the parser needs
to refuse words that no engine keeps.
"""

import re

TOKEN_MAX_BYTES = 256
"""Words of this many bytes or more are not searched; their fields still are."""

WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """The words of `text` in order."""
    return [word.lower() for word in WORD.findall(text)]


def longest_word_bytes(text: str) -> int:
    return max((len(word.encode()) for word in WORD.findall(text)), default=0)
