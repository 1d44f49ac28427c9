"""The library of live charts: what is kept of it is used only if it is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reports import live


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a cache of its own; the library is a short script."""
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path)
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda *_, **__: "the library")
    return live._kept()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-9],
        lambda text: text.partition("\n")[2],
        lambda text: "\n",
        lambda text: "0" * 64 + text[64:],
        lambda text: text[:65] + live.packed("another"),
        lambda text: f"{text}</script><script>alert(1)",
        lambda text: f"{text}\u00fc",
    ],
)
def test_what_is_kept_is_used_only_if_it_is_whole(place: Path, damage: Callable[[str], str]) -> None:
    make = live.library.__wrapped__
    assert make() == live.packed("the library")
    whole = place.read_text()
    place.write_text(damage(whole), "utf-8")
    assert make() == live.packed("the library")
    assert place.read_text() == whole


def test_the_kept_library_is_not_made_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = live.library.__wrapped__()
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda *_, **__: pytest.fail("made again"))
    assert live.library.__wrapped__() == made
    monkeypatch.setattr(live, "_SNIPPET", "another()")
    assert live._kept() != place
