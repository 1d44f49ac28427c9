"""Settings: the paper's numbers, overrides by name, and clear words for anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.settings import Settings, SettingsError, preset, preset_names, setting_names


def test_the_simple_maze_has_the_papers_settings() -> None:
    s = preset("simple-maze")
    assert s.train.algorithm == s.transfer.algorithm == "separate"
    assert (s.train.updates, s.train.learning_rate, s.train.decay, s.train.decay_every) == (
        160_000,
        5e-4,
        0.9,
        5000,
    )
    assert (s.transfer.updates, s.transfer.learning_rate) == (80_000, 8e-5)  # as the authors' files have it
    assert (s.transfer.decay, s.transfer.decay_every) == (0.9, 5000)
    assert (s.optimiser.rho, s.optimiser.epsilon, s.optimiser.clip, s.optimiser.batch) == (0.9, 1e-4, 1.0, 32)
    assert (s.model.encoder, s.model.transition, s.model.embedding) == (
        (200, 100, 50, 10),
        (10, 30, 30, 10),
        2,
    )


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_reads_and_round_trips(name: str) -> None:
    settings = preset(name)
    assert Settings.from_tree(settings.model_dump(mode="json")) == settings


@given(st.integers(1, 10**9), st.floats(1e-9, 1e3))
def test_overrides_set_what_they_name_and_nothing_else(updates: int, rate: float) -> None:
    before = preset("simple-maze")
    after = before.with_overrides([f"train.updates={updates}", f"transfer.learning_rate={rate!r}"])
    assert (after.train.updates, after.transfer.learning_rate) == (updates, rate)
    restored = after.with_overrides(["train.updates=160000", "transfer.learning_rate=8e-5"])
    assert restored == before


def test_lists_and_words_need_no_quotes() -> None:
    s = preset("simple-maze").with_overrides(["loss.terms=transition,bound", "train.algorithm=summed"])
    assert (s.loss.terms, s.train.algorithm) == (("transition", "bound"), "summed")
    assert preset("simple-maze").with_overrides(["model.encoder=[8, 4]"]).model.encoder == (8, 4)
    assert preset("simple-maze").with_overrides(["loss.terms=bound"]).loss.terms == ("bound",)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("train.update=3", "unknown setting 'train.update'; did you mean 'train.updates'?"),
        ("updates=3", "unknown setting 'updates'"),
        ("train.updates", "expected NAME=VALUE, found 'train.updates'"),
        ("train.updates=0", "setting 'train.updates': Input should be greater than 0 (found 0)"),
        ("train.updates=many", "setting 'train.updates'"),
        ("train.updates=true", "setting 'train.updates'"),
        ("data.steps=100000000000000", "setting 'data.steps'"),
        ("model.encoder=[100000000000]", "setting 'model.encoder'"),
        ("train.learning_rate=nan", "setting 'train.learning_rate'"),
        ("train.algorithm=sumed", "setting 'train.algorithm'"),
        ("loss.terms=bound,bound", "names a term twice"),
        ("preset=other", "use --preset"),
    ],
)
def test_mistakes_are_named(assignment: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        preset("simple-maze").with_overrides([assignment])
    assert words in str(caught.value)


def test_unknown_presets_name_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'simple-maze'"):
        preset("simple-maz")


def test_setting_names_are_the_trees_leaves() -> None:
    names = setting_names()
    assert "train.updates" in names
    assert "optimiser.rho" in names
    assert "train" not in names
