"""`Model`: a Hugging Face language model with its parts named, its weights guarded, its edits stacked."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from factlens.errors import (
    FactError,
    Interrupted,
    LayerError,
    NumericalError,
    PromptTooLong,
    QuantizedModel,
    UnknownArchitecture,
    WrongModel,
)
from factlens.facts import Fact
from factlens.models.encoding import Encoding, encode, encode_option
from factlens.models.families import Family
from factlens.models.hooks import evaluating
from factlens.models.saving import save_pretrained
from factlens.models.weights import Dense, EditStack, LowRank, WeightEdit


class Answer(NamedTuple):
    """One candidate for the next token."""

    text: str
    id: int
    probability: float


@dataclass(frozen=True)
class Projection:
    """One layer's MLP down projection: the linear memory that maps keys to values.

    Attributes
    ----------
    module
        The module; its input is the key, its output the value (with the bias, if it has one).
    parameter
        Name of its weight among the model's parameters.
    weight
        The weight in its own layout.
    transposed
        True for GPT-2's ``Conv1D``, which stores ``(keys, values)``; ``Linear`` stores ``(values, keys)``.
        Read from the module's type: a square matrix has no telling shape.
    """

    module: nn.Module
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
        The Hugging Face objects, as ordinary as they were; `model` carries the edits in force.
    family
        Where the architecture keeps its parts.
    name
        What the user called it.
    corpus
        The model's own text, for second moments of keys: called with a seed, it yields strings.
        None when the model brings none.
    """

    def __init__(self, model: Any, tokenizer: Any, family: Family, name: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.family = family
        self.name = name
        self.corpus: Callable[[int], Iterator[str]] | None = None
        self.embedding: nn.Module = model.get_submodule(family.embedding)
        self.blocks: list[nn.Module] = list(model.get_submodule(family.blocks))
        self.head: nn.Module = model.get_submodule(family.head)
        self.returns_tuple = False
        self._stack = EditStack(model)
        self._lock = threading.RLock()
        self._fingerprint: str | None = None

    # Parts -------------------------------------------------------------------------------------------------------

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
        limit = getattr(self.model.config, "max_position_embeddings", None)
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
        weight = getattr(module, "weight", None)
        quantised = getattr(self.model.config, "quantization_config", None) is not None
        if quantised or not isinstance(weight, Tensor) or not weight.is_floating_point() or weight.ndim != 2:
            raise QuantizedModel(
                f"{self.name} holds quantised weights ({type(module).__name__}), which can be traced but not edited. "
                "Load it unquantised, for example with dtype='bfloat16'."
            )
        if not isinstance(module, nn.Linear | Conv1D):
            raise QuantizedModel(f"The down projection is a {type(module).__name__}; editing knows Linear and Conv1D.")
        name = f"{self.family.blocks}.{layer}.{self.family.down}.weight"
        return Projection(module, name, weight, isinstance(module, Conv1D))

    def check_editable(self, layer: int) -> None:
        """Raise an error if the down projection of a layer cannot be changed, before anything is computed.

        Raises
        ------
        QuantizedModel
            If its numbers are quantised, not in memory, or in memory that may only be read.
        LayerError, UnknownArchitecture
            As `down_projection`.
        """
        self._stack.check_writable(self.down_projection(layer).parameter)

    def check_layer(self, layer: object) -> int:
        """Return `layer` if the model has it.

        Raises
        ------
        LayerError
            Otherwise.
        """
        if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < self.n_layers:
            raise LayerError(
                f"{self.name} has no layer {layer!r}: its {self.n_layers} layers are numbered 0 to {self.n_layers - 1}."
            )
        return layer

    def _block(self, layer: int) -> nn.Module:
        return self.blocks[self.check_layer(layer)]

    # Text --------------------------------------------------------------------------------------------------------

    def encode(self, fact: Fact) -> Encoding:
        """Tokenise a fact's prompt and find its subject.

        Raises
        ------
        PromptTooLong
            If the prompt has more tokens than the model has positions.
        """
        encoding = encode(self.tokenizer, fact)
        self._check_length(len(encoding.ids))
        return encoding

    def encode_option(self, prompt: str, option: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Tokenise a prompt and an object that continues it; see `factlens.models.encoding.encode_option`."""
        ids, option_ids = encode_option(self.tokenizer, prompt, option)
        self._check_length(len(ids) + len(option_ids))
        return ids, option_ids

    def token(self, token_id: int) -> str:
        """Return the text of one token, leading space included; half a character as the tokenizer spells it."""
        text = str(self.tokenizer.decode([token_id]))
        return str(self.tokenizer.convert_ids_to_tokens(token_id)) if "\ufffd" in text else text

    def next_token(self, prompt: str) -> Tensor:
        """Return the probability of every token after a prompt, ``(vocabulary,)``, float32, on the CPU.

        Raises
        ------
        FactError
            If the prompt is empty.
        PromptTooLong
            If it has more tokens than the model has positions.
        NumericalError
            If the model answers with NaN or infinity.
        """
        ids = self.tokenizer(prompt)["input_ids"]
        if not ids:
            raise FactError("The prompt is empty.")
        self._check_length(len(ids))
        with self.exclusive(), torch.no_grad():
            logits = self.model(input_ids=torch.tensor([ids], device=self.device), logits_to_keep=1).logits[0, -1]
        return check_finite(logits.float(), self.name).softmax(-1).cpu()

    def answers(self, prompt: str, k: int = 5) -> list[Answer]:
        """Return the `k` most probable next tokens after a prompt, the best first; errors as `next_token`."""
        top = self.next_token(prompt).topk(k)
        return [Answer(self.token(i), i, p) for i, p in zip(top.indices.tolist(), top.values.tolist(), strict=True)]

    def _check_length(self, tokens: int) -> None:
        if self.max_tokens is not None and tokens > self.max_tokens:
            raise PromptTooLong(
                f"The prompt has {tokens} tokens, but {self.name} reads at most {self.max_tokens}. Shorten the prompt."
            )

    # Edits -------------------------------------------------------------------------------------------------------

    @property
    def edits(self) -> tuple[WeightEdit, ...]:
        """The edits that the weights carry, oldest first: equal edits, equal weights."""
        return self._stack.edits

    @property
    def undone(self) -> tuple[WeightEdit, ...]:
        """The edits that `redo` would put back, the next one first."""
        return self._stack.undone

    def apply(self, edit: WeightEdit) -> None:
        """Put an edit on top of the stack: the weights carry it from now on.

        What was undone before cannot be redone after it, as in any editor.

        Raises
        ------
        WrongModel
            If the edit was made for another model; the message names both.
        QuantizedModel
            If a weight that it changes is quantised, not in memory, or may only be read.
        NumericalError
            If the sum does not fit into the weights' number format, or is not a number.
        WeightsChanged
            If somebody else changed a weight that an edit in force has changed.
        ValueError
            If the edit is applied already.

        After any error, weights and stack are as they were.
        """
        with self.exclusive():
            self._check_applicable(edit)
            self._stack.push(edit)

    def undo(self, edit: WeightEdit | None = None) -> WeightEdit:
        """Take back the newest edit, or the given one wherever it stands; the others stay in force.

        Without any edit left, every weight has its original bits again.

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
        with self.exclusive():
            if not self.edits:
                raise ValueError(f"There is nothing to undo: the weights of {self.name} are unedited.")
            places = [i for i, other in enumerate(self.edits) if edit is None or other is edit]
            if not places:
                raise ValueError("This edit is not applied to the model.")
            return self._stack.remove(places[-1])

    def drop(self, edit: WeightEdit) -> WeightEdit:
        """Take one edit out of the stack, wherever it stands: ``undo(edit)`` by the name that says so."""
        return self.undo(edit)

    def redo(self) -> WeightEdit:
        """Put back the edit that was undone last, at the place in the stack where it stood.

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
        with self.exclusive():
            if not self.undone:
                raise ValueError("There is nothing to redo: no edit was undone since the last one was applied.")
            return self._stack.restore()

    def reorder(self, edits: Sequence[WeightEdit]) -> None:
        """Put the edits in force into another order.

        The sum is the same but for rounding; which edit is the newest is not. What was undone cannot be redone after.

        Parameters
        ----------
        edits
            Those of `edits`, every one once, the one to be oldest first.

        Raises
        ------
        ValueError
            If these are not the edits in force.
        NumericalError, WeightsChanged
            As `apply`; nothing has changed then.
        """
        with self.exclusive():
            self._stack.reorder(edits)

    def set_edits(self, edits: Sequence[WeightEdit]) -> None:
        """Let the weights carry these edits and no others, whichever they carry now.

        What was undone cannot be redone after. With the edits in force already, in their order, nothing happens.

        Parameters
        ----------
        edits
            The one to be oldest first.

        Raises
        ------
        WrongModel, QuantizedModel, NumericalError, WeightsChanged
            As `apply`; nothing has changed then.
        ValueError
            If one edit is named twice.
        """
        wanted = tuple(edits)
        with self.exclusive():
            if list(map(id, wanted)) == list(map(id, self.edits)):
                return
            if len(set(map(id, wanted))) < len(wanted):
                raise ValueError("An edit can be in force only once, and one of these is named twice.")
            for edit in wanted:
                self._check_model(edit)
            self._stack.replace(wanted)

    @contextmanager
    def edited(self, edit: WeightEdit) -> Iterator[Model]:
        """Apply an edit for the block only; nobody else uses the model meanwhile.

        Whatever is applied, undone or redone in the block lasts as long as the block, as with `unedited` and
        `without`: stack and weights are then as before.

        Raises
        ------
        WrongModel, QuantizedModel, NumericalError, WeightsChanged, ValueError
            As `apply`.
        """
        with self.exclusive():
            self._check_applicable(edit)
            with self._stack.temporarily([*self.edits, edit]):
                yield self

    @contextmanager
    def unedited(self) -> Iterator[Model]:
        """Put the original weights back for the block; nobody else uses the model meanwhile."""
        with self.exclusive(), self._stack.temporarily([]):
            yield self

    @contextmanager
    def without(self, edit: WeightEdit) -> Iterator[Model]:
        """Take one edit out for the block, if it is applied; the others stay."""
        with self.exclusive(), self._stack.temporarily([other for other in self.edits if other is not edit]):
            yield self

    def _check_applicable(self, edit: WeightEdit) -> None:
        self._check_model(edit)
        if any(edit is other for other in self.edits):
            raise ValueError("This edit is already applied. Undo it first, or make another one.")

    def _check_model(self, edit: WeightEdit) -> None:
        made_for, name = getattr(edit, "fingerprint", None), getattr(edit, "model", "another model")
        if made_for is not None and made_for != self.fingerprint:
            alike = " The names are alike: mind the revision, and the number format." if name == self.name else ""
            raise WrongModel(
                f"This edit was made for {name!r} (fingerprint {made_for}), "
                f"not for {self.name!r} (fingerprint {self.fingerprint}).{alike}"
            )

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the model as it is now, edits and all, as an ordinary Hugging Face model with its tokenizer.

        ``transformers.AutoModelForCausalLM.from_pretrained(folder)`` loads it, and so does `factlens.load`. There
        the edits are part of the weights and can no longer be undone; ``factlens.json`` beside them says which they
        are. See `factlens.models.saving.save_pretrained`, also for the errors.
        """
        with self.exclusive():
            return save_pretrained(self, folder)

    @contextmanager
    def exclusive(self, *stops: threading.Event | None) -> Iterator[Model]:
        """Keep every other thread of factlens off the model for the block, dropout switched off.

        Tracing, editing and evaluation take it for themselves. Take it in your own cell when you call
        ``model.model`` while a lens may be computing.

        Parameters
        ----------
        *stops
            Set one of them from another thread to give up waiting.

        Raises
        ------
        Interrupted
            If one of `stops` was set before the model was free.
        """
        waiting = [stop for stop in stops if stop is not None]
        while not self._lock.acquire(timeout=0.05 if waiting else -1):
            if any(stop.is_set() for stop in waiting):
                raise Interrupted(f"Stopped while waiting for {self.name}, which another computation uses.")
        try:
            with evaluating(self.model):
                yield self
        finally:
            self._lock.release()

    # Identity ----------------------------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that name the unedited weights: architecture, shapes, and a sample of values."""
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for name, parameter in self.model.named_parameters():
                values = self._stack.original(name).flatten()
                digest.update(json.dumps([name, list(parameter.shape), str(parameter.dtype)]).encode())
                # Offloaded weights are not there to be looked at; their names and shapes must do.
                if values.device.type != "meta":
                    sample = values[:: max(1, len(values) // 64)][:64]
                    digest.update(sample.double().cpu().numpy().tobytes())
            self._fingerprint = digest.hexdigest()[:16]
        return self._fingerprint

    def __repr__(self) -> str:
        carried = f", edited: {', '.join(map(str, self.edits))}" if self.edits else ", unedited"
        dtype = str(self.dtype).removeprefix("torch.")
        return f"<factlens.Model {self.name!r}, {self.n_layers} layers, {dtype} on {self.device}{carried}>"


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


def pad(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Right-pad rows of token ids; return ids and attention mask, both ``(rows, longest)``."""
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids.to(device), mask.to(device)
