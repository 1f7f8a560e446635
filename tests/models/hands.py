"""Foreign hands: the ways to change a model behind the back of factlens."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from peft import LoraConfig
from torch import nn

import factlens as fl
from tests.models.made import with_adapter
from tests.support import small_model

Hand = Callable[[fl.Model], None]
#: Where the edit of the tests lies, and most foreign hands strike.
LAYER = 1


def named(*hands: Hand) -> dict[str, Hand]:
    return {hand.__name__: hand for hand in hands}


def weight(model: fl.Model) -> nn.Parameter:
    return model.down_projection(LAYER).linear.weight


def through_data(model: fl.Model) -> None:
    weight(model).data.add_(0.1)


def one_value_through_data(model: fl.Model) -> None:
    weight(model).data[3, 5] += 1e-3


def two_values_swapped(model: fl.Model) -> None:
    values = weight(model).data
    values[0, 0], values[0, 1] = values[0, 1].clone(), values[0, 0].clone()


def in_place(model: fl.Model) -> None:
    with torch.no_grad():
        weight(model).mul_(1.5)


def by_numpy(model: fl.Model) -> None:
    weight(model).detach().numpy()[2] *= -1


def by_an_optimizer(model: fl.Model) -> None:
    optimizer = torch.optim.AdamW(model.model.parameters(), lr=1e-2)
    ids = torch.arange(6)[None]
    model.model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def by_a_state_dict(model: fl.Model) -> None:
    model.model.load_state_dict(_other(model).state_dict())


def by_an_assigned_state_dict(model: fl.Model) -> None:
    model.model.load_state_dict(_other(model).state_dict(), assign=True)


def by_another_parameter(model: fl.Model) -> None:
    model.down_projection(LAYER).linear.weight = nn.Parameter(2 * weight(model).detach())


def by_another_mlp(model: fl.Model) -> None:
    block = model.blocks[LAYER]
    setattr(block, model.family.mlp, copy.deepcopy(_other(model).get_submodule(f"{model.family.blocks}.{LAYER}").mlp))


def by_another_block(model: fl.Model) -> None:
    blocks = model.model.get_submodule(model.family.blocks)
    blocks[LAYER] = copy.deepcopy(_other(model).get_submodule(model.family.blocks)[LAYER])


def by_a_merged_adapter(model: fl.Model) -> None:
    adapted = with_adapter(model)
    adapted.merge_and_unload()


def by_vector(model: fl.Model) -> None:
    vector = nn.utils.parameters_to_vector(model.model.parameters())
    nn.utils.vector_to_parameters(vector * 1.01, model.model.parameters())


def _other(model: fl.Model) -> nn.Module:
    return small_model(model.model.config.model_type, seed=7).model


#: Hands that change the very weight on which the edit lies.
ON_THE_WEIGHT = named(
    through_data,
    one_value_through_data,
    two_values_swapped,
    in_place,
    by_numpy,
    by_an_optimizer,
    by_a_state_dict,
    by_an_assigned_state_dict,
    by_another_parameter,
    by_another_mlp,
    by_another_block,
    by_a_merged_adapter,
    by_vector,
)


def another_head(model: fl.Model) -> None:
    torch.manual_seed(3)
    head = nn.Linear(model.width, model.head.weight.shape[0], bias=False)
    model.model.config.tie_word_embeddings = False
    model.model.set_output_embeddings(head)


def more_tokens(model: fl.Model) -> None:
    torch.manual_seed(3)
    model.model.resize_token_embeddings(model.embedding.weight.shape[0] + 8, mean_resizing=False)


def another_embedding(model: fl.Model) -> None:
    torch.manual_seed(3)
    rows, columns = model.embedding.weight.shape
    model.model.set_input_embeddings(nn.Embedding(rows, columns))


def another_norm(model: fl.Model) -> None:
    parent, _, name = model.family.norm.rpartition(".")
    norm = copy.deepcopy(model.model.get_submodule(model.family.norm))
    norm.weight.data.mul_(1.3)
    setattr(model.model.get_submodule(parent), name, norm)


def other_attention(model: fl.Model) -> None:
    model.attention_out(LAYER).weight.data.neg_()


def an_adapter(model: fl.Model) -> None:
    with_adapter(model)


def an_adapter_from_transformers(model: fl.Model) -> None:
    torch.manual_seed(0)
    name = model.family.out.rpartition(".")[2]
    conv = model.down_projection(0).transposed
    model.model.add_adapter(LoraConfig(r=2, target_modules=[name], fan_in_fan_out=conv, init_lora_weights=False))


#: Hands that leave that weight alone and change what the model computes all the same.
ELSEWHERE = named(
    another_head,
    more_tokens,
    another_embedding,
    another_norm,
    other_attention,
    an_adapter,
    an_adapter_from_transformers,
)


def number_format(model: fl.Model) -> None:
    model.model.to(torch.bfloat16)


def half(model: fl.Model) -> None:
    model.model.half()


def double(model: fl.Model) -> None:
    model.model.double()


FORMATS = named(number_format, half, double)
EVERY = {**ON_THE_WEIGHT, **ELSEWHERE, **FORMATS}
