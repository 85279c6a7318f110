"""The pages are in plain English: their sentences are short."""

from statistics import median

import pytest
from kit.doc_pages import TEXTS
from kit.prose import count_words, list_sentences

MOST_WORDS = 35
USUAL_WORDS = 15


@pytest.mark.parametrize("page", sorted(TEXTS))
def test_no_sentence_is_too_long(page):
    found = {sentence: count_words(sentence) for sentence in list_sentences(TEXTS[page])}
    assert {sentence: words for sentence, words in found.items() if words > MOST_WORDS} == {}


def test_most_sentences_are_short():
    assert median(count_words(one) for text in TEXTS.values() for one in list_sentences(text)) <= USUAL_WORDS


def test_sentences_are_found_wherever_they_stand():
    text = """# A heading is none

The first one, e.g. this, has `code with. Dots` in it
and [a link](https://a.b/c). It ends (here.) Is
this one? 3.5 times yes: a colon does not end it!

| a table | is none. At all. |
|---|---|

    python -m no.sentence

- An item is one
2. and so is a numbered one – without a stop

```bash
python -m none.either   # No. Not this
```
"""
    found = list_sentences(text)
    assert found == [
        "The first one, e.g. this, has `code_with._Dots` in it and a link.",
        "It ends (here.)",
        "Is this one?",
        "3.5 times yes: a colon does not end it!",
        "An item is one",
        "and so is a numbered one – without a stop",
    ]
    assert [count_words(sentence) for sentence in found] == [12, 3, 3, 9, 4, 9]
