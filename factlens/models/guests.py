"""What others have put on a model: adapters, compiled code. Recognised by what it is like, without importing it."""

from __future__ import annotations

from typing import Any

from torch import nn

from factlens.errors import UnknownArchitecture


def inner_module(part: nn.Module) -> nn.Module | None:
    """Return the module around which an adapter stands (peft), None for any other module."""
    for name in ("base_layer", "original_module"):
        inner = part._modules.get(name)
        if inner is not None:
            return inner
    return None


def bare(part: nn.Module) -> nn.Module:
    """Return a module without the adapters around it."""
    while (inner := inner_module(part)) is not None:
        part = inner
    return part


def adapters_in_force(module: nn.Module) -> tuple[object, ...]:
    """Return which adapters act in a model, as plain data: equal data, equal action of equal adapter weights."""
    acting = []
    for name, part in module.named_modules() if _has_adapters(module) else ():
        if inner_module(part) is None or getattr(part, "disable_adapters", False):
            continue
        active = getattr(part, "active_adapters", ())
        active = [active] if isinstance(active, str) else list(active)
        scaling = getattr(part, "scaling", {})
        shares = [float(scaling[key]) if key in scaling else 1.0 for key in active]
        merged = list(getattr(part, "merged_adapters", ()))
        if active:
            acting.append([name, active, shares, merged])
    return tuple(acting)


def _has_adapters(module: nn.Module) -> bool:
    return any(inner_module(part) is not None for part in module.modules())


def without_wrapper(model: Any) -> Any:
    """Return the model in which peft has put its adapters, if it is given in peft's wrapper.

    The adapters stand in that very model, which computes what the wrapper does.

    Raises
    ------
    UnknownArchitecture
        If the adapter is made of prompts, which only the wrapper puts before the text.
    """
    if not hasattr(model, "peft_config") or not hasattr(model, "get_base_model"):
        return model
    if getattr(model.active_peft_config, "is_prompt_learning", False):
        raise UnknownArchitecture(
            "This peft model puts learnt prompts before every text, outside of the model itself, where factlens cannot "
            "follow. Wrap the model without it: factlens.wrap(peft_model.get_base_model(), tokenizer)."
        )
    return model.get_base_model()


def check_not_compiled(module: Any, name: str) -> None:
    """Refuse a model that torch.compile has turned into code, which hooks do not reach.

    Raises
    ------
    UnknownArchitecture
        Naming the module, and how to get the model back.
    """
    for path, part in module.named_modules() if isinstance(module, nn.Module) else ():
        what = f"{path!r} of {name}" if path else name
        if "_orig_mod" in part._modules:
            raise UnknownArchitecture(
                f"{what} was wrapped by torch.compile, and compiled code does not let itself be watched. Give factlens "
                "the module inside, which has the same weights: compiled._orig_mod. Edits are seen by both."
            )
        if getattr(part, "_compiled_call_impl", None) is not None:
            raise UnknownArchitecture(
                f"{what} was compiled in place (module.compile()), and compiled code does not let itself be watched. "
                "Load it again without compiling, or take that back: module._compiled_call_impl = None."
            )
