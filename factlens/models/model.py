"""`Model`: a Hugging Face language model with its parts named, its weights guarded, its edits stacked."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from factlens.arguments import a_text, event, flag, items, optional, shown, whole
from factlens.errors import (
    ArgumentError,
    FactError,
    FactlensError,
    NumericalError,
    QuantizedModel,
    RenamedWarning,
    TextWarning,
    UnknownArchitecture,
    WeightsChanged,
)
from factlens.facts import Fact, a_fact
from factlens.models.belonging import check_belongs, edit_id, ids_of
from factlens.models.bundled import Tuned, is_atlas, tuned
from factlens.models.chats import as_one_text
from factlens.models.continuing import whole_texts
from factlens.models.encoding import Encoding, encode, encode_option
from factlens.models.families import Family
from factlens.models.fitting import check_ids, check_length
from factlens.models.guests import bare, check_not_compiled
from factlens.models.hooks import all_of, replace_forward, replacing_forward
from factlens.models.layers import no_such_layer
from factlens.models.notes import Note, notes_on
from factlens.models.originals import forwards_with
from factlens.models.pieces import missing_tail, text_of
from factlens.models.quantised import is_quantised, why_not_edited
from factlens.models.record import Listener, ModelEvent, record_of
from factlens.models.saving import save_pretrained
from factlens.models.settling import Stay, block, open_stays, settled
from factlens.models.weights import Dense, LowRank, Stacked, WeightEdit
from factlens.spelling import Exactly, Wording
from factlens.warned import warn

# What tokenizers hold a token's number in.
_LARGEST_TOKEN = 2**32 - 1
# Some vocabularies have thousands of tokens that end inside a character.
_MOST_CONTINUED = 100


class Answer(NamedTuple):
    """One candidate for the next token.

    Attributes
    ----------
    text
        The token's own text; of a part of a character its bytes, ``"⟨E6⟩"``.
    id, probability
        The token, and its own probability.
    whole
        Where the token ends inside a character: its text up to the end of that character, as the model goes on from
        the token. None for a token of whole characters, and where the model does not complete the character.
    """

    text: str
    id: int
    probability: float
    whole: str | None = None

    @property
    def shown(self) -> str:
        """What to show: `whole` if there is one, else `text`."""
        return self.text if self.whole is None else self.whole


@dataclass(frozen=True)
class Parts:
    """The modules of a model that are looked up by name."""

    embedding: nn.Module
    blocks: tuple[nn.Module, ...]
    head: nn.Module


@dataclass(frozen=True)
class Projection:
    """One layer's MLP down projection: the linear memory that maps keys to values.

    Attributes
    ----------
    module
        The module; its input is the key, its output the value (with the bias and what adapters add, if there are any).
    linear
        The same without adapters around it: the bare linear map.
    parameter
        Name of its weight among the parameters of the bare model.
    weight
        The weight in its own layout.
    transposed
        True for GPT-2's ``Conv1D``, which stores ``(keys, values)``; ``Linear`` stores ``(values, keys)``.
        Read from the module's type: a square matrix has no telling shape.
    """

    module: nn.Module
    linear: nn.Module
    parameter: str
    weight: Tensor
    transposed: bool

    @property
    def key_width(self) -> int:
        """Length of a key."""
        return int(self.weight.shape[0 if self.transposed else 1])

    def low_rank(self, values: Tensor, keys: Tensor) -> LowRank:
        """Return the term that adds ``values @ keys`` to the projection, in the weight's own layout.

        Both factors are scaled to one size, so that neither over- nor underflows when it is kept in float32.

        Parameters
        ----------
        values, keys
            ``(values, rank)`` and ``(rank, keys)``.
        """
        size, other = values.norm(dim=0), keys.norm(dim=1)
        scale = (size / other.clamp_min(1e-300)).clamp_min(1e-300).sqrt()
        values, keys = (values / scale).float(), (keys * scale[:, None]).float()
        left, right = (keys.T, values.T) if self.transposed else (values, keys)
        left, right = (factor.detach().cpu().contiguous() for factor in (left, right))
        return LowRank(self.parameter, left, right, transposed=self.transposed)

    def dense(self, change: Tensor) -> Dense:
        """Return the term that adds a whole matrix, ``(values, keys)``, to the projection."""
        return Dense(self.parameter, (change.T if self.transposed else change).detach().cpu().contiguous())


class Model:
    """A causal language model, ready to be traced and edited. Made by `factlens.load` or `factlens.wrap`.

    Attributes
    ----------
    model, tokenizer
        The Hugging Face objects, as ordinary as they were; `model` carries the applied edits.
    family
        Where the architecture keeps its parts.
    name
        What the user called it.
    corpus
        The model's own text, for second moments of keys: called with a seed, it yields strings.
        None when the model brings none.
    """

    def __init__(
        self, model: Any, tokenizer: Any, family: Family, name: str, check: Callable[[Model], None] | None = None
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.family = family
        self.name = name
        self.corpus: Callable[[int], Iterator[str]] | None = None
        self.returns_tuple = False
        self._record = record_of(model)
        self._check = check
        self._checked: int | None = None
        self._find_parts()

    # Parts -------------------------------------------------------------------------------------------------------

    def _find_parts(self) -> None:
        self._parts = Parts(
            self.model.get_submodule(self.family.embedding),
            tuple(self.model.get_submodule(self.family.blocks)),
            self.model.get_submodule(self.family.head),
        )

    @property
    def embedding(self) -> nn.Module:
        """The token embedding."""
        return self._present.embedding

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """The transformer blocks."""
        return self._present.blocks

    @property
    def head(self) -> nn.Module:
        """The unembedding."""
        return self._present.head

    @property
    def _present(self) -> Parts:
        """The parts as they are: a thread that works on the model has looked, and no other one need be fast."""
        if not self._record.turn.mine:
            self._find_parts()
        return self._parts

    @property
    def n_layers(self) -> int:
        """Number of transformer blocks; layers are counted from 0."""
        return len(self.blocks)

    @property
    def width(self) -> int:
        """Length of a hidden state."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def embedding_width(self) -> int:
        """Length of a token embedding: the width, but for models that project it up (OPT-350m)."""
        return int(self.model.get_input_embeddings().weight.shape[1])

    @cached_property
    def bundled(self) -> bool:
        """Whether it is atlas, the model that ships with factlens, under any name, with or without edits."""
        return is_atlas(self.model)

    @cached_property
    def tuned(self) -> Mapping[str, Tuned]:
        """What was tuned for this very model, by editing method: of atlas; empty for all others."""
        return tuned() if self.bundled else {}

    @property
    def n_heads(self) -> int:
        """Number of attention heads in a layer."""
        return int(self.model.config.get_text_config().num_attention_heads)

    @property
    def device(self) -> torch.device:
        """Where inputs go: where the token embedding computes."""
        # Weights that `device_map` keeps on disk or in the CPU's memory are on the meta device between two uses.
        hook = getattr(self.embedding, "_hf_hook", None)
        placed = getattr(hook, "execution_device", None)
        return torch.device(placed) if placed is not None else next(self.embedding.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the weights."""
        return next(self.embedding.parameters()).dtype

    @property
    def max_tokens(self) -> int | None:
        """Longest prompt the model takes, in tokens; None if its configuration does not say."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return int(limit) if limit else None

    def attention(self, layer: int) -> nn.Module:
        """Return the attention module of a layer."""
        return self._block(layer).get_submodule(self.family.attention)

    def mlp(self, layer: int) -> nn.Module:
        """Return the MLP module of a layer."""
        return self._block(layer).get_submodule(self.family.mlp)

    def attention_out(self, layer: int) -> nn.Module:
        """Return the attention's output projection in a layer: the heads' outputs, side by side, go in."""
        return self._block(layer).get_submodule(self.family.out)

    def down_projection(self, layer: int) -> Projection:
        """Return the MLP down projection of a layer, the matrix that ROME edits.

        Raises
        ------
        LayerError
            If the model has no such layer.
        UnknownArchitecture
            If the architecture has no such single matrix (mixtures of experts).
        QuantizedModel
            If the weights are quantised.
        """
        if self.family.down is None:
            raise UnknownArchitecture(
                f"{self.name} is a mixture of experts: its MLP has no single down projection, so it can be traced but "
                "not edited."
            )
        module = self._block(layer).get_submodule(self.family.down)
        linear = bare(module)
        weight = getattr(linear, "weight", None)
        if is_quantised(self.model.config, linear) or not isinstance(weight, Tensor) or weight.ndim != 2:
            raise QuantizedModel(why_not_edited(self.name, self.model.config, linear))
        if not isinstance(linear, nn.Linear | Conv1D):
            raise QuantizedModel(f"The down projection is a {type(linear).__name__}; editing knows Linear and Conv1D.")
        name = f"{self.family.blocks}.{layer}.{self.family.down}.weight"
        return Projection(module, linear, name, weight, isinstance(linear, Conv1D))

    def check_editable(self, layer: int) -> None:
        """Raise an error if the down projection of a layer cannot be changed, before anything is computed.

        Raises
        ------
        QuantizedModel
            If its numbers are quantised, not in memory, or in memory that may only be read.
        LayerError, UnknownArchitecture
            As `down_projection`.
        """
        self._record.stack.check_writable(self.down_projection(layer).parameter)

    def check_layer(self, layer: object) -> int:
        """Return `layer` if the model has it.

        Raises
        ------
        LayerError
            Otherwise.
        """
        if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < self.n_layers:
            raise no_such_layer(self.name, self.n_layers, layer)
        return layer

    def _block(self, layer: int) -> nn.Module:
        return self.blocks[self.check_layer(layer)]

    # Text --------------------------------------------------------------------------------------------------------

    def encode(self, fact: Fact, *, what: str = "The prompt", advice: str = "Shorten the prompt.") -> Encoding:
        """Tokenise a fact's prompt and find its subject.

        Parameters
        ----------
        fact
            The fact.
        what, advice
            What its prompt is and what can be done about its length, for the error that says that it is too long.

        Raises
        ------
        PromptTooLong
            If the prompt has more tokens than the model has positions.
        WrongModel
            If the tokenizer gives a token that the embedding has no row for.
        """
        encoding = encode(self.tokenizer, as_one_text(self.tokenizer, a_fact("fact", fact)))
        self.check_ids(encoding.ids)
        check_length(self.name, self.max_tokens, len(encoding.ids), what=what, advice=advice)
        return encoding

    def as_read(self, fact: Fact, *, warned: bool = True) -> Fact:
        """Return a fact as the model reads it: a chat as one text, and everything else just as it is written.

        Parameters
        ----------
        fact
            The fact.
        warned
            Warn of what may not be meant: a beginning-of-text token that the tokenizer adds once more, white space at
            the end that it would put into the next word.

        Raises
        ------
        FactError
            If the fact is a chat's and the tokenizer has no chat template, or one that changes what is said.
        PromptTooLong, WrongModel
            As `encode`.
        """
        fact, warned = as_one_text(self.tokenizer, a_fact("fact", fact)), flag("warned", warned)
        self.encode(fact)
        if warned:
            for note in self.notes(fact):
                warn(TextWarning(note.message))
        return fact

    def notes(self, fact: Fact) -> tuple[Note, ...]:
        """Return what a user should know of how the model reads a fact's prompt; see `factlens.models.notes`."""
        return notes_on(self.tokenizer, as_one_text(self.tokenizer, a_fact("fact", fact)))

    def encode_option(
        self, prompt: str, option: Wording, *, role: str = "answer", bare: str | None = None
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Tokenise a prompt and an object that continues it; see `factlens.models.encoding.encode_option`.

        Parameters
        ----------
        prompt, option
            The prompt, and the object.
        role
            What the object is, for errors: ``"answer"``, ``"target"``.
        bare
            The prompt without what factlens has put in front of it, for errors.

        Raises
        ------
        FactError
            As `factlens.models.encoding.encode_option`.
        PromptTooLong
            If the prompt, and all but the last token of the object behind it, are more than the model has positions.
        WrongModel
            As `encode`.
        """
        prompt = a_text("prompt", prompt, empty=True)
        option = option if isinstance(option, Exactly) else a_text("option", option, empty=True)
        ids, option_ids = encode_option(self.tokenizer, prompt, option)
        self.check_ids([*ids, *option_ids])
        check_length(
            self.name,
            self.max_tokens,
            len(ids) + len(option_ids) - 1,
            role=role,
            read=len(option_ids) - 1,
            of=len(option_ids),
            alone=None if bare is None else lambda: len(self.tokenizer(bare)["input_ids"]),
        )
        return ids, option_ids

    def token(self, token_id: int) -> str:
        """Return the text of one token, leading space included; of a part of a character its bytes, ``"⟨E6⟩"``."""
        return self.text_of([whole("token_id", token_id, least=0, most=_LARGEST_TOKEN)])

    def text_of(self, ids: Iterable[int]) -> str:
        """Return the text of some tokens in a row; see `factlens.models.pieces.text_of`."""
        return text_of(self.tokenizer, ids)

    def ids_of(self, prompt: str, *, what: str = "The prompt", advice: str = "Shorten the prompt.") -> list[int]:
        """Tokenise a text that has no subject.

        Parameters
        ----------
        prompt
            The text.
        what, advice
            As for `encode`.

        Raises
        ------
        FactError
            If it has no token.
        """
        ids = list(self.tokenizer(a_text("prompt", prompt, empty=True))["input_ids"])
        if not ids:
            raise FactError(f"{what} is empty.")
        self.check_ids(ids)
        check_length(self.name, self.max_tokens, len(ids), what=what, advice=advice)
        return ids

    @settled
    def next_token(self, prompt: str) -> Tensor:
        """Return the probability of every token after a prompt, ``(vocabulary,)``, float32, on the CPU.

        Raises
        ------
        FactError
            If the prompt is empty.
        PromptTooLong, WrongModel
            As `encode`.
        NumericalError
            If the model answers with NaN or infinity.
        """
        ids = self.ids_of(prompt)
        with self.exclusive(), torch.no_grad():
            logits = self.model(input_ids=torch.tensor([ids], device=self.device), logits_to_keep=1).logits[0, -1]
        return check_finite(logits.float(), self.name).softmax(-1).cpu()

    @settled
    def answers(self, prompt: str, k: int = 5) -> list[Answer]:
        """Return the `k` most probable next tokens after a prompt, the best first; errors as `next_token`.

        A `k` beyond the vocabulary asks for all of it. The first hundred of those that end inside a character are
        continued to its end (`Answer.whole`); probabilities are those of single tokens.
        """
        k = whole("k", k, least=1, example="5")
        with self.exclusive():
            probabilities = self.next_token(prompt)
            top = probabilities.topk(min(k, len(probabilities)))
            best = top.indices.tolist()
            parts = [i for i in best if missing_tail(self.tokenizer, [i])][:_MOST_CONTINUED]
            texts = whole_texts(self, [self.ids_of(prompt)] * len(parts), [[i] for i in parts])
            continued = dict(zip(parts, texts, strict=True))
        return [Answer(self.token(i), i, p, continued.get(i)) for i, p in zip(best, top.values.tolist(), strict=True)]

    def check_ids(self, ids: Iterable[int]) -> None:
        """Raise `WrongModel` if the tokenizer has given a token that the embedding has no row for."""
        check_ids(ids, self.embedding, self.tokenizer, self.name)

    # Edits -------------------------------------------------------------------------------------------------------

    @property
    def edits(self) -> tuple[WeightEdit, ...]:
        """The edits that the weights carry, oldest first: equal edits, equal weights.

        They belong to the Hugging Face model: every `Model` around it shows the same ones. What another thread has done
        for a block only (`edited`, `unedited`, `without`) is its own business, and not shown here.
        """
        return self._record.present.edits

    @property
    def stack(self) -> Stacked:
        """`edits` and `undone` with their origins, as they are outside of blocks (`edited`, `unedited`, `without`).

        For views: it may be read on any thread, and `listen` tells whenever it has changed.
        """
        return self._record.lasting

    @property
    def undone(self) -> tuple[WeightEdit, ...]:
        """The edits that `redo` would put back, the next one first."""
        return tuple(entry.edit for _, entry in reversed(self._record.present.undone))

    @property
    def edit_ids(self) -> tuple[str, ...]:
        """The ids of `edits`: together with `fingerprint` they say what the weights are."""
        return ids_of(self.edits)

    def origin_of(self, edit: WeightEdit) -> str | None:
        """Return who applied an edit: the id of a lens, or None for Python code."""
        return next((entry.origin for entry in self._record.present.entries if entry.edit is edit), None)

    @settled
    def apply(self, edit: WeightEdit, *, origin: str | None = None) -> None:
        """Put an edit on top of the stack: the weights carry it from now on.

        What was undone before cannot be redone after it, as in any editor.

        Parameters
        ----------
        edit
            The edit.
        origin
            Who does it, for those who are told: the id of a lens. Default: Python code.

        Raises
        ------
        WrongModel
            If the edit was made for another model; the message names both.
        QuantizedModel
            If a weight that it changes is quantised, not in memory, or may only be read.
        NumericalError
            If the sum does not fit into the weights' number format, or is not a number.
        WeightsChanged
            If other code changed a weight that an applied edit has changed.
        ValueError
            If the edit is applied already.

        After any error, weights and stack are as they were.
        """

        def push() -> tuple[WeightEdit, ...]:
            self._check_applicable(edit)
            self._record.stack.push(edit, origin)
            return (edit,)

        self._change("applied", push, origin)

    @settled
    def undo(self, edit: WeightEdit | None = None, *, origin: str | None = None) -> WeightEdit:
        """Take back the newest edit, or the given one at any place in the stack; the others stay applied.

        Without any edit left, every weight has its original bits again.

        Parameters
        ----------
        edit
            Which one: itself, or one with the same id, such as the same edit loaded from a file. Default: the newest.
        origin
            As for `apply`.

        Returns
        -------
        WeightEdit
            The edit that was taken back; `redo` puts it where it stood.

        Raises
        ------
        ValueError
            If there is nothing to undo, or `edit` is not applied.
        NumericalError, WeightsChanged
            As `apply`: also what is left is a sum that has to be written. Nothing has changed then.
        """

        def remove() -> tuple[WeightEdit, ...]:
            if not self.edits:
                raise ValueError(f"There is nothing to undo: the weights of {self.name} are unedited.")
            place = len(self.edits) - 1 if edit is None else self._place_of(edit)
            if place is None:
                raise ValueError("This edit is not applied to the model.")
            return (self._record.stack.remove(place),)

        (removed,) = self._change("undone", remove, origin)
        return removed

    def drop(self, edit: WeightEdit, *, origin: str | None = None) -> WeightEdit:
        """Do what ``undo(edit)`` does, which has taken the place of this.

        Parameters
        ----------
        edit, origin
            As for `undo`.
        """
        _check_is_edit(edit)
        warn(RenamedWarning("Model.drop(edit) is deprecated: model.undo(edit) does the same."))
        return self.undo(edit, origin=origin)

    @settled
    def redo(self, *, origin: str | None = None) -> WeightEdit:
        """Put back the edit that was undone last, at the place in the stack where it stood.

        Parameters
        ----------
        origin
            As for `apply`.

        Returns
        -------
        WeightEdit
            The edit.

        Raises
        ------
        ValueError
            If nothing was undone since the last `apply`, `reorder` or `set_edits`.
        QuantizedModel, NumericalError, WeightsChanged
            As `apply`; nothing has changed then.
        """

        def put_back() -> tuple[WeightEdit, ...]:
            if not self.undone:
                raise ValueError("There is nothing to redo: no edit was undone since the last one was applied.")
            return (self._record.stack.put_back(),)

        (edit,) = self._change("redone", put_back, origin)
        return edit

    @settled
    def reorder(self, edits: Sequence[WeightEdit], *, origin: str | None = None) -> None:
        """Put the applied edits into another order.

        The sum is the same but for rounding; which edit is the newest is not. What was undone cannot be redone after.

        Parameters
        ----------
        edits
            Those of `edits`, every one once, the one to be oldest first.
        origin
            As for `apply`.

        Raises
        ------
        ValueError
            If these are not the applied edits.
        NumericalError, WeightsChanged
            As `apply`; nothing has changed then.
        """
        order = tuple(items("edits", edits, "a list of edits", example="model.edits[::-1]"))
        for edit in order:
            _check_is_edit(edit)

        def sort() -> tuple[WeightEdit, ...]:
            self._record.stack.reorder(order)
            return order

        self._change("reordered", sort, origin)

    @settled
    def set_edits(self, edits: Sequence[WeightEdit], *, origin: str | None = None) -> None:
        """Let the weights carry these edits and no others.

        What was undone cannot be redone after. If they are applied already, in this order, nothing happens.

        Parameters
        ----------
        edits
            The one to be oldest first.
        origin
            As for `apply`.

        Raises
        ------
        WrongModel, QuantizedModel, NumericalError, WeightsChanged
            As `apply`; nothing has changed then.
        ValueError
            If one edit is named twice.
        """
        for edit in items("edits", edits, "a list of edits", example="[edit]"):
            _check_is_edit(edit)
        # Those that are applied stay the objects that they are.
        present = {edit_id(edit): edit for edit in self.edits}
        ordered = tuple(present.get(edit_id(edit), edit) for edit in edits)

        def replaced() -> tuple[WeightEdit, ...]:
            if ordered == self.edits:
                return ordered
            if len({edit_id(edit) for edit in ordered}) < len(ordered):
                raise ValueError("An edit can be applied only once, and one of these is named twice.")
            for edit in ordered:
                self._check_model(edit)
            self._record.stack.replace(ordered, origin)
            return ordered

        self._change("replaced" if ordered else "cleared", replaced, origin)

    def clear(self, *, origin: str | None = None) -> None:
        """Take back all edits: every weight has its original bits again. What was undone cannot be redone after.

        Parameters
        ----------
        origin
            As for `apply`.
        """
        self.set_edits((), origin=origin)

    @block
    def edited(self, edit: WeightEdit) -> Generator[Model]:
        """Apply an edit for the block only; no other thread of factlens uses the model meanwhile.

        What is applied, undone or redone in the block lasts as long as the block, as with `unedited` and
        `without`: stack and weights are then as before.

        Raises
        ------
        WrongModel, QuantizedModel, NumericalError, WeightsChanged, ValueError
            As `apply`.
        """
        yield from self._for_a_block(lambda: self._record.stack.push(self._check_applicable(edit)))

    @block
    def as_edited(self, edit: WeightEdit) -> Generator[Model]:
        """Compute with an edit for the block, without writing it: only this thread's passes have it.

        The numbers are those that the model gives once the edit is applied. No other thread of factlens uses the model
        meanwhile. Where the weights cannot be stood in for (models that `device_map` has spread) they are written, as
        with `edited`.

        Raises
        ------
        WrongModel, QuantizedModel, NumericalError, ValueError
            As `apply`.
        """

        def stand_in() -> None:
            self._check_applicable(edit)
            weights = self._record.weights
            sums = {weights.tensor(name): values for name, values in self._record.stack.with_edit(edit).items()}
            forwards = forwards_with(self.model, {t: values for t, values in sums.items() if t is not None})
            if forwards is None:
                self._record.stack.push(edit)
                return
            for part, forward in forwards:
                replace_forward(part, forward)

        yield from self._for_a_block(stand_in)

    @block
    def unedited(self) -> Generator[Model]:
        """Put the original weights back for the block; no other thread of factlens uses the model meanwhile."""
        yield from self._for_a_block(lambda: self._record.stack.replace(()))

    @contextmanager
    def as_original(self) -> Iterator[Model]:
        """Compute with the original weights for the block, without writing them: only this thread's passes have them.

        No other thread of factlens uses the model meanwhile. Where the weights cannot be stood in for (models that
        `device_map` has spread) they are written, as with `unedited`.
        """
        with self.exclusive():
            stack, weights = self._record.stack, self._record.weights
            tensors = {name: weights.tensor(name) for name in stack.touched}
            originals = {t: stack.original(name).to(t.device) for name, t in tensors.items() if t is not None}
            forwards = forwards_with(self.model, originals)
            with all_of(replacing_forward([p], f) for p, f in forwards) if forwards is not None else self.unedited():
                yield self

    @block
    def without(self, edit: WeightEdit) -> Generator[Model]:
        """Take one edit out for the block, if it is applied; the others stay."""

        def take_out() -> None:
            place = self._place_of(edit)
            self._record.stack.replace([other for i, other in enumerate(self.edits) if i != place])

        yield from self._for_a_block(take_out)

    def _for_a_block(self, change: Callable[[], None]) -> Generator[Model]:
        # A thread that has the model has looked.
        stay, began = self._stay(watched=not self._record.turn.mine, passing=True), False
        try:
            try:
                stay.begin()
                self._look(stay)
                change()
                stay.hand_over()
                began = True
                yield self
            finally:
                stay.end(back=True, failed=not began)
        except BaseException:
            stay.end(back=True, failed=True)
            raise

    def _change(
        self, what: str, change: Callable[[], tuple[WeightEdit, ...]], origin: str | None
    ) -> tuple[WeightEdit, ...]:
        """Change the stack, whole or not at all, and tell all listeners."""
        origin = optional(a_text, "origin", origin)
        with self._working(watched=True):
            before = self._record.stack.now
            try:
                edits = change()
                if self._record.stack.now is not before:
                    self._record.announce(ModelEvent(what, edits, origin=origin))
                return edits
            except BaseException:
                if self._record.stack.now is not before:
                    self._record.stack.go_back(before)
                    self._record.announce(ModelEvent("brought back", before.edits, origin=origin))
                raise

    def _place_of(self, edit: WeightEdit) -> int | None:
        """Return where in the stack an edit is, itself or one with the same id."""
        _check_is_edit(edit)
        own = edit_id(edit)
        return next((i for i, other in enumerate(self.edits) if other is edit or edit_id(other) == own), None)

    def _check_applicable(self, edit: WeightEdit) -> WeightEdit:
        _check_is_edit(edit)
        self._check_model(edit)
        if self._place_of(edit) is not None:
            raise ValueError("This edit is already applied. Undo it first, or make another one.")
        return edit

    def _check_model(self, edit: WeightEdit) -> None:
        made_for = getattr(edit, "fingerprint", None)
        if made_for is not None:
            name = getattr(edit, "model", None)
            check_belongs(self, "This edit", name=name, fingerprint=made_for)

    @settled
    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the model as it is now, edits and all, as an ordinary Hugging Face model with its tokenizer.

        ``transformers.AutoModelForCausalLM.from_pretrained(folder)`` loads it, and so does `factlens.load`. There
        the edits are part of the weights and can no longer be undone; ``factlens.json`` beside them says which they
        are. See `factlens.models.saving.save_pretrained`, also for the errors.
        """
        with self._working(watched=True):
            return save_pretrained(self, folder)

    # Others --------------------------------------------------------------------------------------------------------

    @settled
    def keep_changes(self, *, stop: threading.Event | None = None) -> tuple[WeightEdit, ...]:
        """Keep what other code has done to weights under edits: as they are now, they are the original weights.

        One of the two ways on after `WeightsChanged`. The edits that lay on these weights have become part of them:
        they leave the stack and can no longer be undone. Other edits stay.

        Parameters
        ----------
        stop
            Set it from another thread to give up waiting for the model.

        Returns
        -------
        tuple of WeightEdit
            The edits that have become part of the weights.

        Raises
        ------
        Interrupted
            If `stop` was set before the model was free.
        """
        with self._working(stop, look=False):
            changed = self._record.foreign(self.model)
            folded = self._record.stack.keep(changed) if changed else ()
            self._record.look(full=True)
            if changed:
                self._record.announce(ModelEvent("kept", folded, tuple(changed)))
            return folded

    @settled
    def revert_changes(self, *, stop: threading.Event | None = None) -> tuple[str, ...]:
        """Give up what other code has done to weights under edits: they are again what the edits say.

        The other of the two ways on after `WeightsChanged`. Only weights under edits can be brought back; of no others
        is there a copy.

        Parameters
        ----------
        stop
            As for `keep_changes`.

        Returns
        -------
        tuple of str
            The parameters that were written.

        Raises
        ------
        WeightsChanged
            If one of them has another shape now, or is gone. Nothing was written then.
        Interrupted
            As `keep_changes`.
        """
        with self._working(stop, look=False):
            changed = self._record.foreign(self.model)
            if changed:
                self._record.stack.revert(changed)
                self._record.announce(ModelEvent("reverted", self.edits, tuple(changed)))
            return tuple(changed)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with a `factlens.models.ModelEvent` whenever edits or weights of the model change.

        It is called on the thread that made the change, which has the model then: it should be quick. Methods are held
        weakly, so that listening keeps no object alive.
        """
        self._record.listen(listener)

    def forget(self, listener: Listener) -> None:
        """Do not call `listener` any more."""
        self._record.forget(listener)

    @block
    def exclusive(self, *stops: threading.Event | None) -> Generator[Model]:
        """Keep every other thread of factlens off the model for the block, dropout switched off.

        Tracing, editing and evaluation take it for themselves. Take it in your own cell when you change the model while
        a lens may be computing. To only call ``model.model`` you need not: other threads do not meet what factlens
        puts on the model for a pass.

        Parameters
        ----------
        *stops
            Set one of them from another thread to give up waiting.

        Raises
        ------
        Interrupted
            If one of `stops` was set before the model was free.
        """
        yield from self._work(self._stay(stops))

    @block
    def watched(self, *stops: threading.Event | None) -> Generator[Model]:
        """As `exclusive`, with a look at every weight first: what is computed can be said to be of these weights.

        Raises
        ------
        WeightsChanged
            If other code has changed a weight on which edits lie.
        Interrupted
            As `exclusive`.
        """
        yield from self._work(self._stay(stops, watched=True))

    @block
    def _working(self, *stops: threading.Event | None, watched: bool = False, look: bool = True) -> Generator[Model]:
        yield from self._work(self._stay(stops, watched=watched), look=look)

    def _stay(self, stops: Sequence[threading.Event | None] = (), watched: bool = False, passing: bool = False) -> Stay:
        waiting = [event("stop", stop) for stop in stops if stop is not None]
        return Stay(self._record, self.model, waiting, self.name, watched=watched, passing=passing)

    def _work(self, stay: Stay, look: bool = True) -> Generator[Model]:
        began = False
        try:
            try:
                stay.begin()
                if look:
                    self._look(stay)
                stay.hand_over()
                began = True
                yield self
            finally:
                stay.end(failed=not began)
        except BaseException:
            stay.end(failed=True)
            raise

    def _look(self, stay: Stay) -> None:
        """Look what others have done to the model, and check it as at load where it has become another."""
        if not stay.outermost and not stay.watched:
            return
        if any(part._compiled_call_impl is not None for part in self._record.weights.modules(self.model)):
            check_not_compiled(self.model, self.name)
        self._record.look(full=stay.watched)
        if self._checked != self._record.weights.structure:
            check_not_compiled(self.model, self.name)
            self._find_parts()
            if self._check is not None:
                self._check(self)
            again = self._checked is not None
            self._checked = self._record.weights.structure
            if again:
                self._record.announce(ModelEvent("looked at again"))

    def check_unchanged(
        self, fingerprint: str, ids: Sequence[str], what: str, again: str, *, full: bool = True
    ) -> bool:
        """Raise an error if the weights are not those that something was begun with; the caller has the model.

        Parameters
        ----------
        fingerprint, ids
            Of the weights and of the edits applied at the beginning.
        what, again
            What was begun, and what to do: ``"traced"``, ``"Trace again"``.
        full
            Look at every value again. Otherwise that is done only where it costs next to nothing.

        Returns
        -------
        bool
            Whether every value was looked at.

        Raises
        ------
        WeightsChanged
            If they are others now.
        """
        full = full or self._record.due
        if full:
            self._record.weights.find(self.model)
            self._record.look(full=True)
        if (self._record.weights.fingerprint, self.edit_ids) != (fingerprint, tuple(ids)):
            raise WeightsChanged(
                f"The weights of {self.name} were changed while it was being {what}, so the numbers would be of two "
                f"models. {again}."
            )
        return full

    # Identity ----------------------------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that name the unedited weights: names, shapes, number formats, and every value.

        Active adapters count. Two models with the same fingerprint compute the same. It is looked at anew each time,
        unless another thread is computing with the model, which has looked then.
        """
        turn, stays = self._record.turn, open_stays()
        if not any(stay.record is self._record and stay.watched for stay in stays) and turn.take_if_free():
            level = turn.level - 1
            try:
                self._record.weights.find(self.model)
                self._record.look(full=True)
            finally:
                turn.back_to(level)
        return self._record.weights.fingerprint

    @property
    def known_fingerprint(self) -> str:
        """`fingerprint` as of the last look, for views: each computation looks, and tells of changes (`listen`)."""
        return self._record.weights.fingerprint

    @settled
    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        """Return a model of its own, with the same edits applied, which can be undone there."""
        with self.unedited():
            module = copy.deepcopy(self.model, memo)
            tokenizer = copy.deepcopy(self.tokenizer, memo)
        twin = Model(module, tokenizer, self.family, self.name, self._check)
        twin.corpus = self.corpus
        twin.set_edits(self.edits)
        return twin

    def __reduce__(self) -> Any:
        raise FactlensError(
            "A factlens.Model cannot be pickled. Pickle what it is made of (model.model, model.tokenizer), or save it "
            "with model.save_pretrained(folder), and wrap or load it again; edits are saved by edit.save(path)."
        )

    def __repr__(self) -> str:
        carried = f", edited: {', '.join(map(str, self.edits))}" if self.edits else ", unedited"
        dtype = str(self.dtype).removeprefix("torch.")
        return f"<factlens.Model {self.name!r}, {self.n_layers} layers, {dtype} on {self.device}{carried}>"


def _check_is_edit(edit: object) -> None:
    """Raise `ArgumentError` for what cannot be an edit, before anything is done with it."""
    if not isinstance(getattr(edit, "updates", None), tuple | list):
        raise ArgumentError(f"edit must be what factlens.edit or factlens.Edit.load returns, not {shown(edit)}.")


def check_finite(logits: Tensor, name: str) -> Tensor:
    """Return `logits` if every one is a number.

    Raises
    ------
    NumericalError
        Otherwise, naming the model and what usually helps.
    """
    if not bool(torch.isfinite(logits).all()):
        raise NumericalError(
            f"{name} answers with NaN or infinity. float16 often overflows: load the model with dtype='bfloat16' or "
            "'float32'. If the weights carry edits, undo the last one."
        )
    return logits
