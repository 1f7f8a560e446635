"""atlas has the two sites that its model card claims, on average over facts."""

from __future__ import annotations

from dataclasses import replace

import factlens as fl
from scripts.verify_atlas import measure


def test_averaged_traces_show_an_early_and_a_late_site(atlas: fl.Model) -> None:
    sites = measure(atlas, facts=20, samples=4, seed=5)
    assert sites.facts >= 15
    assert [claim for claim, kept in sites.claims().items() if not kept] == []


def test_a_model_without_the_sites_does_not_keep_the_claims(atlas: fl.Model) -> None:
    sites = measure(atlas, facts=6, samples=2)
    for other in (
        replace(sites, total=0.3),
        replace(sites, mlp=(0.5, *sites.mlp[1:])),
        replace(sites, attention=tuple(0.5 * effect for effect in sites.mlp)),
        replace(sites, late=sites.late[::-1]),
    ):
        assert not all(other.claims().values())
