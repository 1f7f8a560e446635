"""Verify every claim of atlas's model card on the files that ship: ``python scripts/verify_atlas.py [FOLDER]``.

What the model knows, as ``python -m factlens.models.atlas.verify`` has it, and where it keeps it, by averaged causal
traces. A minute on two cores; exits with an error if a claim is not kept.
"""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import factlens as fl
from factlens.models.atlas import verify
from factlens.models.atlas.knowledge import FOLDER, load_knowledge

LAST_SUBJECT, LAST = "last subject token", "last token"
CLAIMED_TOTAL = 0.6
CLAIMED_EARLY = 0.2
CLAIMED_RATIO = 3.0
CLAIMED_LATE = 0.5


@dataclass(frozen=True)
class Sites:
    """Averaged indirect effects by layer: MLPs and attention at the last subject token, attention at the last token."""

    facts: int
    total: float
    mlp: tuple[float, ...]
    attention: tuple[float, ...]
    late: tuple[float, ...]

    @property
    def early_layer(self) -> int:
        """Where the MLPs' effect at the subject's last token is largest."""
        return self.mlp.index(max(self.mlp))

    @property
    def late_layer(self) -> int:
        """Where attention's effect at the last token is largest."""
        return self.late.index(max(self.late))

    def claims(self) -> dict[str, bool]:
        """List what the model card says of the sites, and whether it is so."""
        layer, last = self.early_layer, len(self.mlp) - 1
        return {
            f"a total effect of at least {CLAIMED_TOTAL}": self.total >= CLAIMED_TOTAL,
            f"MLPs at the subject's last token have their peak, at least {CLAIMED_EARLY}, in an inner layer": 0
            < layer
            < last
            and self.mlp[layer] >= CLAIMED_EARLY,
            f"which is at least {CLAIMED_RATIO} times the effect of attention there": self.mlp[layer]
            >= CLAIMED_RATIO * abs(self.attention[layer]),
            f"attention at the last token has its peak, at least {CLAIMED_LATE}, in the upper half": self.late_layer
            > last / 2
            and self.late[self.late_layer] >= CLAIMED_LATE,
        }


def measure(model: fl.Model, facts: int = 60, samples: int = 5, seed: int = 0) -> Sites:
    """Average traces over statements of atlas, each in one of its trained wordings."""
    draw = random.Random(seed)
    # The kind of a thing ("tower") is often plain from its name.
    statements = [s for s in load_knowledge().statements if s.relation.name != "kind"]
    chosen = [
        fl.Fact(*statement.parts(draw.choice(statement.trained)), object=statement.object)
        for statement in draw.sample(statements, facts)
    ]
    found = fl.average_over(model, chosen, samples=samples, kinds=("mlp", "attn"))

    def row(kind: str, role: str) -> tuple[float, ...]:
        return tuple(float(effect) for effect in found.effects.sel(kind=kind, role=role).values)

    return Sites(
        found.n, float(found.total_effect), row("mlp", LAST_SUBJECT), row("attn", LAST_SUBJECT), row("attn", LAST)
    )


def report(sites: Sites) -> bool:
    """Print the sites; return whether they are where the model card says."""
    print(f"\ntraces of {sites.facts} facts: total effect {sites.total:.2f}; by layer:")
    for name, row in {
        f"MLP, {LAST_SUBJECT}": sites.mlp,
        f"attention, {LAST}": sites.late,
        f"attention, {LAST_SUBJECT}": sites.attention,
    }.items():
        print(f"  {name:<30}", " ".join(f"{effect:6.3f}" for effect in row))
    claims = sites.claims()
    for claim, kept in claims.items():
        if not kept:
            print(f"NOT KEPT: {claim}")
    return all(claims.values())


def main() -> None:
    """Read the command line and report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER / "weights", help="default: the shipped model")
    folder = parser.parse_args().folder
    knows = verify.report(folder)
    shows = report(measure(fl.load("atlas" if folder == FOLDER / "weights" else folder, device="cpu")))
    sys.exit(0 if knows and shows else 1)


if __name__ == "__main__":
    main()
