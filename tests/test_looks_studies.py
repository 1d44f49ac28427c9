"""The shipped studies of looks: what they train, and that looks near the default are near it."""

import numpy as np
import pytest

from diag.studies.study import read_study
from trainers.envs.acting import CountingWorld, PairedWorld
from trainers.impala import IMPALA

LOOKS = {
    "catch-near": {"dim", "dimmer", "dusk", "fog", "ball-3"},
    "minatar-looks": {"permuted", "permuted-2", "inverted"},
}


@pytest.mark.parametrize("name", LOOKS)
def test_each_look_has_transfers_and_runs_from_scratch_and_all_share_their_bases(name: str) -> None:
    if name.startswith("minatar"):
        pytest.importorskip("minatar")
    study = read_study(name)
    scratch = {v.settings.transfer.variant for v in study.variants if v.plans[0].name == "from-scratch"}  # type: ignore[attr-defined]
    taken = [v for v in study.variants if v.plans[0].name != "from-scratch"]
    assert scratch == {v.settings.transfer.variant for v in taken} == LOOKS[name]  # type: ignore[attr-defined]
    assert {study.base_of(v).name for v in study.variants} == {study.variants[0].name}
    for variant in study.variants:
        assert isinstance(IMPALA.of(variant.settings), IMPALA)


def test_looks_near_the_default_change_pictures_less_than_a_red_background() -> None:
    world = IMPALA.of(read_study("catch-near").variants[0].settings).world
    assert isinstance(world, PairedWorld)
    assert isinstance(world, CountingWorld)
    states = world.sample_states(50, 0).states
    default = world.render(states, "default").astype(float)
    change = {
        look: float(np.abs(world.render(states, look) - default).mean())
        for look in (*LOOKS["catch-near"], "red-background")
    }
    assert change.pop("red-background") > 60
    assert min(change.values()) > 0
    assert change["dim"] < change["dimmer"]
    assert change["dusk"] < change["fog"] == max(change.values())
    assert change["fog"] < 50
