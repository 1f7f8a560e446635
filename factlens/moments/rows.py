"""`TokenRows`: a stream of texts as rows of tokens, all of one length, that can be taken up again where it was left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from factlens.arguments import whole
from factlens.errors import FactlensError
from factlens.models import Model
from factlens.models.interrupts import interruption_point

# A guess at the length of a token, in characters, for how much text to read ahead; a wrong one only costs time.
_CHARACTERS = 4
# A text without end may have no words in it, or hardly any: after so many texts, each must have had so many tokens.
_TEXTS, _FEWEST = 10_000, 0.01


class TokenRows:
    """Texts, joined by the end-of-sequence token and cut into rows without padding.

    Parameters
    ----------
    model
        Its tokenizer is used.
    texts
        The texts that have not been read yet.
    sequence
        Tokens in a row.
    read, left
        Where an earlier stream over the same texts was left.

    Attributes
    ----------
    read
        How many texts have been taken from the stream.
    left
        Tokens of these texts that are in no row yet.
    """

    def __init__(
        self, model: Model, texts: Iterator[str], sequence: int, *, read: int = 0, left: Sequence[int] = ()
    ) -> None:
        self.read = read
        self.left = list(left)
        self._model, self._tokenizer = model, model.tokenizer
        self._texts = texts
        self._sequence = sequence
        self._began, self._tokens = read, 0
        self._special = frozenset(model.tokenizer.all_special_ids)
        end = model.tokenizer.eos_token_id
        self._separator: list[int] = [] if end is None else [int(end)]

    def take(self, rows: int) -> Tensor | None:
        """Return the next rows, ``(rows, sequence)``, fewer at the end of the text, or None when it has been used up.

        Raises
        ------
        FactlensError
            If one of the texts is no string, or of thousands hardly one has a token in it.
        Interrupted
            If a stop was asked for (`factlens.models.interrupts.stopped_by`).
        """
        while (missing := rows * self._sequence - len(self.left)) > 0:
            texts = self._read(missing * _CHARACTERS)
            if not texts:
                break
            # Empty texts would leave rows full of separators, and so would those of special tokens only. `verbose`:
            # that a text is longer than the model's context is no news here.
            if worded := [text for text in texts if text.strip()]:
                for ids in self._tokenizer(worded, verbose=False)["input_ids"]:
                    self._model.check_ids(ids)
                    if not self._special.issuperset(ids):
                        self.left += [*ids, *self._separator]
                        self._tokens += len(ids)
            self._check_worded()
            interruption_point()
        rows = min(rows, len(self.left) // self._sequence)
        if not rows:
            return None
        count = rows * self._sequence
        ids = torch.tensor(self.left[:count]).view(rows, self._sequence)
        del self.left[:count]
        return ids

    def _check_worded(self) -> None:
        """Refuse a text that goes on and on and says next to nothing: it would be read for ever."""
        texts = self.read - self._began
        if texts > _TEXTS and self._tokens < _FEWEST * texts:
            has = f"{self._tokens:,} tokens" if self._tokens else "no token"
            raise FactlensError(
                f"{texts:,} texts of the corpus have {has} in them, special ones left out: they are empty, or the "
                "tokenizer does not know their writing (is it another model's?). Give other text."
            )

    def _read(self, characters: int) -> list[str]:
        """Read texts until they have so many characters; many at once are tokenised faster than one by one."""
        texts: list[str] = []
        for text in islice(self._texts, max(1, characters)):
            if not isinstance(text, str):
                raise FactlensError(f"A corpus is made of strings; text {self.read} of it is a {type(text).__name__}.")
            self.read += 1
            # Texts that are made while they are read may take a while each.
            interruption_point()
            texts.append(text)
            characters -= len(text)
            if characters <= 0:
                break
        return texts


def row_length(model: Model, sequence: int | None, default: int) -> int:
    """Return the number of tokens per row, by default what the model takes of `default`.

    Raises
    ------
    FactlensError
        If the model does not take that many, or it is no positive number.
    """
    if sequence is None:
        return min(default, model.max_tokens or default)
    sequence = whole("sequence", sequence, least=1, example="64")
    if model.max_tokens is not None and sequence > model.max_tokens:
        raise FactlensError(
            f"{model.name} reads at most {model.max_tokens} tokens together, not {sequence}: lower sequence."
        )
    return sequence
