"""The sentences of a page in Markdown."""

import re

CODE = re.compile(r"^( *)(```|~~~).*?^\1\2 *$", re.M | re.S)
INDENTED = re.compile(r"(?<=\n\n)(?: {4,}\S.*\n)+")  # a command without a fence
SET_ASIDE = re.compile(r"^ *(?:\||#|<|!\[|={3,}|-{3,}).*$", re.M)  # tables, headings, HTML, pictures
ITEM = re.compile(r"^ *(?:[-*+]|\d+\.) +", re.M)
ENDS = re.compile(r"""(?:(?<=[.!?])|(?<=[.!?][)"'*])|(?<=[.!?][)"'*]{2}))\s+(?=[("'*\[`]*[A-Z0-9`])""")
ABBREVIATED = re.compile(r"\b(?:e\.g|i\.e|et al|vs|cf|approx|Fig|Sect|no)\.$", re.I)


def list_sentences(text: str) -> list[str]:
    """What a page says in sentences: no code, no tables, no headings.

    Args:
        text: A page in Markdown.

    Returns:
        The sentences in their order, on one line each. Inline code is one word, a link its text. A paragraph
        and an item of a list end a sentence, and so do the marks `.`, `!` and `?`; a colon does not.
    """
    text = INDENTED.sub("\n", SET_ASIDE.sub("\n", CODE.sub("\n", text)))
    text = re.sub(r"`+[^`]+`+", lambda found: re.sub(r"\s+", "_", found[0]), text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", ITEM.sub("\n\n", text))
    found: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        is_open = False
        for part in ENDS.split(" ".join(block.split())):
            if is_open:
                found[-1] += f" {part}"
            elif part:
                found.append(part)
            is_open = bool(ABBREVIATED.search(part))
    return found


def count_words(sentence: str) -> int:
    """Words of a sentence; marks that stand alone (`–`, `=`, `→`) are none."""
    return sum(bool(re.search(r"\w", word)) for word in sentence.split())
