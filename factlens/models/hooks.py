"""Small, always-removed interventions on a running model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers.activations import NewGELUActivation


def tensor_of(output: Any) -> Tensor:
    """Return the hidden states in a module's output: the output itself, or the first of a tuple.

    transformers 5 lets blocks return a tensor and attention a tuple. Unwrapping by type matters:
    ``output[0]`` on a bare tensor would silently take the first row of the batch.
    """
    found = output[0] if isinstance(output, tuple) else output
    if not isinstance(found, Tensor):
        raise TypeError(f"expected a tensor from the module, got {type(found).__name__}")
    return found


def replaced(output: Any, tensor: Tensor) -> Any:
    """Return a module's output with its hidden states replaced by `tensor`."""
    return (tensor, *output[1:]) if isinstance(output, tuple) else tensor


@contextmanager
def on_output(module: nn.Module, change: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Call ``change(hidden)`` on every output of `module`; a tensor it returns takes the output's place."""

    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        tensor = change(tensor_of(output))
        return None if tensor is None else replaced(output, tensor)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def on_input(module: nn.Module, change: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Call ``change(hidden)`` on every input of `module`; a tensor it returns takes the input's place."""

    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = "hidden_states" if "hidden_states" in kwargs or args else next(iter(kwargs))
        tensor = change(args[0] if args else kwargs[name])
        if tensor is None:
            return None
        if args:
            return (tensor, *args[1:]), kwargs
        return args, {**kwargs, name: tensor}

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def passing_through(blocks: Iterable[nn.Module], returns_tuple: bool) -> Iterator[None]:
    """Make `blocks` hand their input on untouched, so that a pass starts at a later block."""

    def forward(hidden_states: Tensor, *_args: Any, **_kwargs: Any) -> Any:
        return (hidden_states,) if returns_tuple else hidden_states

    with replacing_forward(blocks, forward):
        yield


@contextmanager
def replacing_forward(modules: Iterable[nn.Module], forward: Callable[..., Any]) -> Iterator[None]:
    """Let `modules` compute `forward` instead of their own; hooks on them fire as ever."""
    with ExitStack() as stack:
        for module in modules:
            # An attribute of the instance hides the method of the class until it is deleted again. Models placed
            # by `device_map` already carry one (accelerate's), which must come back.
            had = module.__dict__.get("forward")
            module.__dict__["forward"] = forward
            stack.callback(_restore_forward, module, had)
        yield


@contextmanager
def fused_activations(model: nn.Module) -> Iterator[None]:
    """Compute GPT-2's tanh approximation of GELU in one kernel instead of eight; the formula is the same."""
    modules = [module for module in model.modules() if isinstance(module, NewGELUActivation)]
    with replacing_forward(modules, partial(nn.functional.gelu, approximate="tanh")):
        yield


def _restore_forward(module: nn.Module, had: Any) -> None:
    if had is None:
        del module.__dict__["forward"]
    else:
        module.__dict__["forward"] = had


class _Stop(Exception):
    """Raised inside a forward pass that has seen enough."""


@contextmanager
def stopping_before(module: nn.Module) -> Iterator[None]:
    """End the forward passes in this block as soon as they reach `module`; they return nothing."""

    def hook(_module: nn.Module, _args: Any) -> None:
        raise _Stop

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def stopping_after(module: nn.Module) -> Iterator[None]:
    """End the forward passes in this block once `module` has run, hooks registered before this one included."""

    def hook(_module: nn.Module, _args: Any, _output: Any) -> None:
        raise _Stop

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def run_until_stopped(run: Callable[[], Any]) -> None:
    """Call `run`, a forward pass inside `stopping_before` or `stopping_after`, and swallow its early end."""
    try:
        run()
    except _Stop:
        return


@contextmanager
def all_of(contexts: Iterable[Any]) -> Iterator[None]:
    """Enter many context managers at once, and leave them in reverse order whatever happens."""
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Switch dropout off for the block, whatever mode the user's model is in."""
    training = [part for part in module.modules() if part.training]
    try:
        for part in training:
            part.training = False
        yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def without_gradients(module: nn.Module) -> Iterator[None]:
    """Stop tracking gradients of the user's parameters for the block; each gets its own setting back."""
    tracked = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in tracked:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in tracked:
            parameter.requires_grad_(True)
