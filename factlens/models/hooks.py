"""Small, always-removed interventions on a running model.

Each acts for passes of the thread that made it and for no other: a user's ``generate`` in another thread meets the
bare model, and cannot be met by it. Each stands on a list of its thread from before it acts until after it is undone,
so that what a fault at an unlucky moment has left standing is known, and can be undone (`undo_since`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import get_ident, local
from typing import Any, Protocol

from torch import Tensor, nn
from transformers.activations import NewGELUActivation

_threads = local()


class Intervention(Protocol):
    """Something that is done to a model and undone again."""

    def do(self) -> None:
        """Do it."""

    def undo(self) -> None:
        """Undo it, as far as it was done; as often as need be."""


def standing() -> list[Intervention]:
    """Return the interventions of the present thread that have not been undone, the oldest first."""
    if not hasattr(_threads, "standing"):
        _threads.standing = []
    interventions: list[Intervention] = _threads.standing
    return interventions


def undo_since(number: int) -> None:
    """Undo what stands of the present thread's interventions but for the first `number`, the newest first."""
    interventions = standing()
    while len(interventions) > number:
        interventions[-1].undo()
        interventions.pop()


@contextmanager
def doing(intervention: Intervention) -> Iterator[None]:
    """Let an intervention stand for the block."""
    interventions = standing()
    interventions.append(intervention)
    try:
        intervention.do()
        yield
    finally:
        intervention.undo()
        interventions.remove(intervention)


class _Hook:
    """A hook that acts for passes of its own thread only.

    Another thread may meet it half-way through being registered or removed, with arguments of either form; it does
    nothing then.
    """

    def __init__(self, module: nn.Module, act: Callable[..., Any], *, early: bool) -> None:
        self._module, self._act, self._early, self._thread = module, act, early, get_ident()

    def __call__(self, *args: Any) -> Any:
        return self._act(*args) if get_ident() == self._thread else None

    def do(self) -> None:
        if self._early:
            self._module.register_forward_pre_hook(self, with_kwargs=True)
        else:
            self._module.register_forward_hook(self)

    def undo(self) -> None:
        module = self._module
        hooks = module._forward_pre_hooks if self._early else module._forward_hooks
        for key in [key for key, hook in hooks.items() if hook is self]:
            del hooks[key]
            module._forward_pre_hooks_with_kwargs.pop(key, None)


class _Forward:
    """What a module computes in the place of its own ``forward``, for passes of one thread only."""

    def __init__(self, module: nn.Module, forward: Callable[..., Any]) -> None:
        self._module, self._ours, self._thread = module, forward, get_ident()
        # Models placed by `device_map` already carry a `forward` of their own (accelerate's), which must come back.
        self.had = module.__dict__.get("forward")
        self._theirs = module.forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return (self._ours if get_ident() == self._thread else self._theirs)(*args, **kwargs)

    def do(self) -> None:
        # An attribute of the instance hides the method of the class until it is deleted again.
        self._module.__dict__["forward"] = self

    def undo(self) -> None:
        if self._module.__dict__.get("forward") is not self:
            return
        if self.had is None:
            del self._module.__dict__["forward"]
        else:
            self._module.__dict__["forward"] = self.had


class _Untracked:
    """Parameters of which no gradients are tracked; each gets its own setting back."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]

    def do(self) -> None:
        for parameter in self._parameters:
            parameter.requires_grad_(False)

    def undo(self) -> None:
        for parameter in self._parameters:
            parameter.requires_grad_(True)


def tensor_of(output: Any) -> Tensor:
    """Return the hidden states in a module's output: the output itself, or the first of a tuple.

    transformers 5 lets blocks return a tensor and attention a tuple. Unwrapping by type matters:
    ``output[0]`` on a bare tensor would silently take the first row of the batch.
    """
    tensor = output[0] if isinstance(output, tuple) else output
    if not isinstance(tensor, Tensor):
        raise TypeError(f"expected a tensor from the module, got {type(tensor).__name__}")
    return tensor


def replaced(output: Any, tensor: Tensor) -> Any:
    """Return a module's output with its hidden states replaced by `tensor`."""
    return (tensor, *output[1:]) if isinstance(output, tuple) else tensor


def after(module: nn.Module, hook: Callable[[nn.Module, Any, Any], Any]) -> Any:
    """Return a context in which ``hook(module, args, output)`` is called after `module`, as torch's forward hooks."""
    return doing(_Hook(module, hook, early=False))


def before(module: nn.Module, hook: Callable[[nn.Module, Any, dict[str, Any]], Any]) -> Any:
    """Return a context in which ``hook(module, args, kwargs)`` is called before `module`, as torch's pre-hooks."""
    return doing(_Hook(module, hook, early=True))


def on_output(module: nn.Module, change: Callable[[Tensor], Tensor | None]) -> Any:
    """Return a context in which ``change(hidden)`` is called on every output of `module`.

    A tensor that it returns takes the output's place.
    """

    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        tensor = change(tensor_of(output))
        return None if tensor is None else replaced(output, tensor)

    return after(module, hook)


def on_input(module: nn.Module, change: Callable[[Tensor], Tensor | None]) -> Any:
    """Return a context in which ``change(hidden)`` is called on every input of `module`.

    A tensor that it returns takes the input's place.
    """

    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = "hidden_states" if "hidden_states" in kwargs or args else next(iter(kwargs))
        tensor = change(args[0] if args else kwargs[name])
        if tensor is None:
            return None
        if args:
            return (tensor, *args[1:]), kwargs
        return args, {**kwargs, name: tensor}

    return before(module, hook)


class Kept(list[Tensor]):
    """What modules give while contexts of this stand, in the order in which it comes.

    >>> states = Kept()
    >>> with states.output(block):  # doctest: +SKIP
    ...     model(ids)
    >>> states[0]  # doctest: +SKIP
    """

    def output(self, module: nn.Module, part: Callable[[Tensor], Tensor] | None = None) -> Any:
        """Return a context that keeps every output of `module`, or a part of it."""
        return on_output(module, self.keep(part))

    def input(self, module: nn.Module, part: Callable[[Tensor], Tensor] | None = None) -> Any:
        """Return a context that keeps every input of `module`, or a part of it."""
        return on_input(module, self.keep(part))

    def keep(
        self, part: Callable[[Tensor], Tensor] | None = None, *, shielded: bool = False
    ) -> Callable[[Tensor], Tensor | None]:
        """Return a function that keeps what it is called on.

        Parameters
        ----------
        part
            What to keep of a tensor; all of it by default. What is changed in place later on needs a copy.
        shielded
            Let the run go on with a copy of what is kept, so that nothing changes that, and gradients reach it.
        """

        def keep(hidden: Tensor) -> Tensor | None:
            tensor = hidden if part is None else part(hidden)
            self.append(tensor)
            return tensor.clone().reshape(hidden.shape) if shielded else None

        return keep


@contextmanager
def passing_through(blocks: Iterable[nn.Module], returns_tuple: bool) -> Iterator[None]:
    """Make `blocks` hand their input on untouched, so that a pass starts at a later block."""

    def forward(hidden_states: Tensor, *_args: Any, **_kwargs: Any) -> Any:
        return (hidden_states,) if returns_tuple else hidden_states

    with replacing_forward(blocks, forward):
        yield


def replacing_forward(modules: Iterable[nn.Module], forward: Callable[..., Any]) -> Any:
    """Return a context in which `modules` compute `forward` instead of their own; hooks on them fire as ever."""
    return all_of([doing(_Forward(module, forward)) for module in modules])


def replace_forward(module: nn.Module, forward: Callable[..., Any]) -> None:
    """Let a module compute `forward` instead of its own until `undo_since`: for those who have a stay."""
    intervention = _Forward(module, forward)
    standing().append(intervention)
    intervention.do()


@contextmanager
def fused_activations(model: nn.Module) -> Iterator[None]:
    """Compute GPT-2's tanh approximation of GELU in one kernel instead of eight; the formula is the same."""
    modules = [module for module in model.modules() if isinstance(module, NewGELUActivation)]
    with replacing_forward(modules, partial(nn.functional.gelu, approximate="tanh")):
        yield


def foreign_forward(module: nn.Module) -> Any:
    """Return what other code has put in the place of a module's ``forward``; None if nothing is, or only ours."""
    forward = module.__dict__.get("forward")
    while isinstance(forward, _Forward):
        forward = forward.had
    return forward


class _Stop(Exception):
    """Raised inside a forward pass that has seen enough."""


def stopping_before(module: nn.Module) -> Any:
    """Return a context in which forward passes end as soon as they reach `module`; they return nothing."""

    def hook(_module: nn.Module, _args: Any, _kwargs: Any) -> None:
        raise _Stop

    return before(module, hook)


def stopping_after(module: nn.Module) -> Any:
    """Return a context in which forward passes end once `module` has run, hooks registered before included."""

    def hook(_module: nn.Module, _args: Any, _output: Any) -> None:
        raise _Stop

    return after(module, hook)


def run_until_stopped(run: Callable[[], Any]) -> None:
    """Call `run`, a forward pass inside `stopping_before` or `stopping_after`, and swallow its early end."""
    try:
        run()
    except _Stop:
        return


@contextmanager
def all_of(contexts: Iterable[Any]) -> Iterator[None]:
    """Enter many context managers at once, and leave them in reverse order, also after an error."""
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield


def without_gradients(module: nn.Module) -> Any:
    """Return a context in which no gradients of the user's parameters are tracked; each gets its own setting back."""
    return doing(_Untracked(module.parameters()))
