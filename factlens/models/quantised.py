"""Whether weights are quantised: told by what they are, and not by what the configuration says of the file."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


def is_quantised(config: Any, linear: nn.Module) -> bool:
    """Whether a linear map computes with other numbers than those of its weight.

    A model that was read from a quantised file (GGUF) keeps a ``quantization_config``, though its weights are plain
    numbers by then. Where there is such a configuration, only a bare ``Linear`` or ``Conv1D`` of floating-point numbers
    is taken for what it looks like: libraries make subclasses of ``Linear`` whose weight is quantised later or in the
    forward pass, put scales beside it, or put a forward pass of their own on the module.

    Parameters
    ----------
    config
        The model's configuration.
    linear
        The module, without adapters around it.
    """
    weight = getattr(linear, "weight", None)
    # One byte is float8.
    if not isinstance(weight, Tensor) or not weight.is_floating_point() or weight.element_size() == 1:
        return True
    if getattr(config, "quantization_config", None) is None:
        return False
    # accelerate replaces the forward pass by one that fetches the weights first.
    own_pass = "forward" in vars(linear) and not hasattr(linear, "_hf_hook")
    plain = type(linear) in (nn.Linear, Conv1D) and type(weight) in (Tensor, nn.Parameter)
    more = set(linear._parameters) | set(linear._buffers) | set(linear._modules)
    return own_pass or not plain or type(weight.data) is not Tensor or not more <= {"weight", "bias"}


def why_not_edited(name: str, config: Any, linear: nn.Module) -> str:
    """Say that quantised weights are not edited, why, and how to come by weights that are.

    Parameters
    ----------
    name
        The model's name.
    config
        Its configuration, which may say what quantised it.
    linear
        The module that an edit would change.
    """
    settings = getattr(config, "quantization_config", None)
    method = settings.get("quant_method") if isinstance(settings, dict) else getattr(settings, "quant_method", None)
    by = f", {getattr(method, 'value', method)}" if method else ""
    return (
        f"{name} holds quantised weights ({type(linear).__name__}{by}), which can be traced but not edited: an edit is "
        "a small change of plain numbers, and packed ones cannot hold it. Load the model unquantised, in "
        "dtype='bfloat16'; or make plain numbers of its weights where transformers can (bitsandbytes: "
        "model.dequantize() on the Hugging Face model), and wrap it again."
    )
