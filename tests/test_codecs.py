"""Encoders and decoders have the published sizes, and refuse observations that they cannot be made for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainers.codecs import CodecError, ConvDecoder, ConvEncoder, Kind, decoder_of, encoder_of
from trainers.dense import fresh_weights


@pytest.mark.parametrize(
    ("kind", "observation", "widths", "out"),
    [
        ("grid", (10, 10, 10), (8, 16, 32, 64), 2 * 2 * 64),
        ("grid", (3, 24, 24), (4, 4, 4, 4), 16 * 16 * 4),
        ("image", (3, 64, 64), (4, 8, 16, 32), 2 * 2 * 32),
        ("mlp", (1, 1, 7), (20, 12), 12),
    ],
)
def test_both_fit_the_observation(
    kind: Kind, observation: tuple[int, int, int], widths: tuple[int, ...], out: int
) -> None:
    rng = np.random.default_rng(0)
    encoder, decoder = encoder_of(kind, observation, widths), decoder_of(kind, 30, observation, widths)
    assert encoder.out == out
    weights = {
        f"{c}/{n}": t
        for c, net in (("encoder", encoder), ("decoder", decoder))
        for n, t in fresh_weights(net.shapes(), rng).items()
    }
    seen = torch.from_numpy(rng.random((5, *observation), np.float32))
    assert encoder(weights, "encoder", seen).shape == (5, out)
    assert decoder(weights, "decoder", torch.zeros(5, 30)).shape == (5, *observation)


def test_nets_of_grids_are_the_papers() -> None:
    encoder, decoder = (
        encoder_of("grid", (10, 10, 10), (8, 16, 32, 64)),
        decoder_of("grid", 1280, (10, 10, 10), (8, 16, 32, 64)),
    )
    assert isinstance(encoder, ConvEncoder)
    assert isinstance(decoder, ConvDecoder)
    assert (encoder.kernels, encoder.stride, encoder.filters[-1]) == ((3, 3, 3, 3), 1, 64)
    assert (decoder.kernels, decoder.stride, decoder.start) == ((2, 3, 4, 4), 1, (1, 1))


@pytest.mark.parametrize(
    ("kind", "observation", "widths", "words"),
    [
        ("grid", (1, 9, 12), (1, 1, 1, 1), "found 9 by 12 cells, expected 10 or more"),
        ("image", (3, 10, 10), (1, 1, 1, 1), "found 10 by 10 pixels, expected 64 by 64"),
        ("grid", (3, 10, 10), (1, 1), "found 2 widths, expected 4"),
        ("mlp", (3, 10, 10), (), "found no widths"),
    ],
)
def test_what_does_not_fit_is_said(
    kind: Kind, observation: tuple[int, int, int], widths: tuple[int, ...], words: str
) -> None:
    with pytest.raises(CodecError, match=words):
        encoder_of(kind, observation, widths)
