"""What can be restored: one entry per site, which answers every question about it.

A kind of grid is the name of its site. A new one is an entry in `SITES`, and, where it sets what no other does, one in
`factlens.tracing.runs.SOURCES`, which says where that stands in a model. Without torch: a saved trace can be read
anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from factlens import typed
from factlens.arguments import items, shown
from factlens.errors import FactError
from factlens.registry import Registry
from factlens.tracing.windows import window_layers
from factlens.typed import BadField

MLP, ATTENTION, HEADS = "mlp", "attn", "head"
"""What a site can set: outputs of MLP and attention, and those of the heads side by side."""
PARTS = (MLP, ATTENTION)
"""The two of them that a block adds to the residual."""


@dataclass(frozen=True)
class Site:
    """Something that a restored run takes from another run.

    Attributes
    ----------
    name
        The kind of the grid that it gives: ``"mlp"``, ``"head.3"``.
    label
        What it is called in a figure and in a sentence.
    family
        The grid of the paper that it belongs to, whose colour it has: of a severed path what is severed, of a head
        attention.
    restores_state
        Whether the token's clean state is put in place where it leaves the layer. What leaves the last layer is only
        read for the token's own answer, so that layer's cells are known without computing.
    source
        Which output is set, of `factlens.tracing.runs.SOURCES`; None for a state alone.
    windowed
        Whether a window of layers is set rather than one.
    by_head
        Whether the source is the heads' outputs side by side, one of which is set: the site is then that of all heads,
        and `of_head` gives those of single ones.
    head
        The only head that is set.
    shares
        Between what its direct contribution to the answer is shared out; None if there is no such contribution.
    edited
        Whether it is what methods of editing change.
    """

    name: str
    label: str
    family: str
    restores_state: bool = False
    source: str | None = None
    windowed: bool = False
    by_head: bool = False
    head: int | None = None
    shares: Literal["heads", "neurons"] | None = None
    edited: bool = False

    @property
    def severed(self) -> bool:
        """Whether it restores a state while a module of that token is held at its corrupted output."""
        return self.restores_state and self.source is not None

    @property
    def title(self) -> str:
        """The label above a panel."""
        return self.label[:1].upper() + self.label[1:]

    def layers(self, layer: int, window: int, n_layers: int, convention: str = "code") -> range:
        """Return the layers whose output is set in the cell of a layer; they begin where its run departs."""
        if self.windowed:
            return window_layers(layer, window, n_layers, convention)
        if not self.restores_state:
            return range(layer, layer + 1)
        return range(layer + 1, n_layers if self.severed else layer + 1)

    def of_head(self, head: int) -> Site:
        """Return the site of one head alone."""
        return replace(self, name=f"{self.name}.{head}", label=f"{self.label} {head}", head=head)


_ALL = (
    Site("state", "hidden state", "state", restores_state=True),
    Site("mlp", "MLP", "mlp", source=MLP, windowed=True, shares="neurons", edited=True),
    Site("attn", "attention", "attn", source=ATTENTION, windowed=True, shares="heads"),
    Site("severed_mlp", "hidden state, MLP severed", "mlp", restores_state=True, source=MLP),
    Site("severed_attn", "hidden state, attention severed", "attn", restores_state=True, source=ATTENTION),
    Site("head", "attention head", "attn", source=HEADS, by_head=True, shares="heads"),
)
SITES: Registry[Site] = Registry("site", {site.name: site for site in _ALL}, Site)
KINDS = ("state", "mlp", "attn")
"""The three grids of the paper, traced by default."""


def find_site(kind: str) -> Site | None:
    """Return the site that a kind of grid names; None if there is none."""
    if kind in SITES:
        return SITES[kind]
    name, _, head = kind.partition(".")
    one = name in SITES and SITES[name].by_head and head.isdecimal()
    return replace(SITES[name].of_head(int(head)), name=kind) if one else None


def site_of(kind: str) -> Site:
    """Return the site that a kind of grid names; raise KeyError if there is none."""
    site = find_site(kind)
    if site is None:
        raise KeyError(kind)
    return site


def expand_kinds(kinds: Any, n_heads: int | None) -> tuple[str, ...]:
    """Return the kinds without repetition, ``"head"`` written out as every head of the model.

    Raises
    ------
    FactError
        If one of them is not a kind, or the model has no such head.
    """
    if isinstance(kinds, str):
        kinds = (kinds,)
    allowed = f"some of {', '.join(SITES)}, head.0, ..."
    names: list[str] = []
    for kind in items("kinds", kinds, allowed, example="['mlp', 'attn']"):
        site = find_site(kind) if isinstance(kind, str) else None
        if site is None:
            raise FactError(f"kinds must be {allowed}, not {shown(kind)}.")
        if not site.by_head:
            names.append(kind)
            continue
        if n_heads is None:
            raise FactError("Heads cannot be traced on this model: its family map names no attention output.")
        if site.head is not None and site.head >= n_heads:
            raise FactError(
                f"There is no head {site.head}: the model's {n_heads} heads are numbered 0 to {n_heads - 1}."
            )
        names += [kind] if site.head is not None else [site.of_head(i).name for i in range(n_heads)]
    if not names:
        raise FactError(f"kinds must be {allowed}; none was given.")
    return tuple(dict.fromkeys(names))


def read_kind(value: Any) -> str:
    """Return a kind that a file names; raise ValueError if there is no such kind."""
    site = find_site(typed.text(value))
    if site is None or (site.by_head and site.head is None):
        raise BadField(f"is {value!r:.40}, which is no kind of state")
    return str(value)
