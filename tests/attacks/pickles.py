"""Pickles that run code or never end, files of torch.save, and policies of Stable-Baselines3."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from random import Random
from typing import Any

import torch

from tests.attacks.attack import Attack, Seeds
from tests.attacks.seeds import DATA, policy, policy_weights
from tests.attacks.trees import RAW, WORDS, encoded, hostile
from tests.harmful_files import PICKLED, repacked, saved

CALLS = (
    ("os", "mkdir"),
    ("posix", "system"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("subprocess", "Popen"),
    ("webbrowser", "open"),
    ("torch", "load"),
    ("torch.hub", "load"),
    ("torch", "Size"),
    ("torch", "FloatStorage"),
    ("torch", "ByteStorage"),
    ("torch", "QInt8Storage"),
    ("torch", "device"),
    ("torch", "float32"),
    ("torch.storage", "UntypedStorage"),
    ("torch.storage", "TypedStorage"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_sparse_tensor"),
    ("torch._utils", "_rebuild_meta_tensor_no_storage"),
    ("torch._tensor", "_rebuild_from_type_v2"),
    ("torch.nn.parameter", "Parameter"),
    ("collections", "OrderedDict"),
    ("collections", "Counter"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("functools", "partial"),
    ("operator", "attrgetter"),
    ("ctypes", "CDLL"),
    ("\u202eso", "metsys"),
)
"""What a pickle may ask to be called: mostly what it must not have."""


def text(words: str) -> bytes:
    raw = words.encode("utf-8", "surrogatepass")
    return b"X" + len(raw).to_bytes(4, "little") + raw


def whole(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + value.to_bytes(4, "little", signed=True)
    raw = value.to_bytes(min(255, value.bit_length() // 8 + 1), "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def group(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def called(module: str, name: str) -> bytes:
    return b"c" + f"{module}\n{name}\n".encode("utf-8", "surrogatepass")


def mapping(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in items.items()) + b"u"


EMPTY = called("collections", "OrderedDict") + b")R"


def storage(numel: int, kind: str = "FloatStorage", key: str = "0", place: str = "cpu") -> bytes:
    return group(text("storage"), called("torch", kind), text(key), text(place), whole(numel)) + b"Q"


def tensor(
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    offset: int = 0,
    held: bytes | None = None,
    end: bytes = EMPTY,
) -> bytes:
    sizes = group(*map(whole, shape)), group(*map(whole, stride))
    held = storage(90) if held is None else held
    arguments = group(held, whole(offset), *sizes, b"\x89", end)
    return called("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


GOOD = tensor((30, 3), (3, 1))


def doubled(levels: int) -> bytes:
    """A tuple that holds one tuple twice, which holds one twice, and so on: 2**levels parts."""
    steps = (b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(levels))
    return whole(1) + b"q\0" + b"".join(steps)


def listed(levels: int) -> bytes:
    """The same of lists."""
    steps = (b"](h" + bytes([n]) + b"h" + bytes([n]) + b"eq" + bytes([n + 1]) for n in range(levels))
    return whole(1) + b"q\0" + b"".join(steps)


def attribute(name: str, value: bytes) -> bytes:
    """A mapping with an attribute of its own in front of a method's."""
    return (
        called("collections", "OrderedDict")
        + b")R("
        + text("embeddings")
        + GOOD
        + b"u"
        + mapping(**{name: value})
        + b"b"
    )


PROGRAMS: tuple[bytes, ...] = (
    mapping(embeddings=GOOD),
    mapping(embeddings=tensor((2**33, 1), (1, 1))),
    mapping(embeddings=tensor((2**33, 1), (0, 0))),
    mapping(embeddings=tensor((2**62, 4), (1, 1))),
    mapping(embeddings=tensor((30, 3), (-3, 1))),
    mapping(embeddings=tensor((30, 3), (3, 1), 10**6)),
    mapping(embeddings=tensor((30, 3), (3, 1), -1)),
    mapping(embeddings=tensor((-30, 3), (3, 1))),
    mapping(embeddings=tensor((30,) * 70, (0,) * 70)),
    mapping(embeddings=tensor((30, 3), (3, 1), 0, storage(2**40))),
    mapping(embeddings=tensor((2**40, 3), (3, 1), 0, storage(0))),
    mapping(embeddings=tensor((30, 3), (3, 1), 0, storage(45, "DoubleStorage"))),
    mapping(embeddings=tensor((30, 3), (3, 1), 0, storage(90, "QInt8Storage"))),
    mapping(embeddings=tensor((30, 3), (3, 1), 0, storage(45, "ComplexFloatStorage"))),
    mapping(embeddings=tensor((30, 3), (3, 1), 0, storage(90, "NoStorage"))),
    mapping(embeddings=tensor((30, 3), (3, 1), 0, storage(90, key="../../../etc/passwd"))),
    mapping(embeddings=tensor((30, 3), (3, 1), 0, storage(90, key="99"))),
    mapping(embeddings=tensor((30, 3), (3, 1), 0, storage(90, place="cuda:0"))),
    mapping(embeddings=tensor((30, 3), (3, 1), 0, storage(90, place="meta"))),
    mapping(embeddings=tensor((30, 3), (3, 1), 0, storage(90, place="x" * 10_000))),
    mapping(embeddings=tensor((30, 3), (3, 1), 0, whole(3))),
    mapping(embeddings=GOOD + group(storage(90), whole(0), group(whole(2**40)), group(whole(1))) + b"b"),
    mapping(embeddings=GOOD + group() + b"b"),
    mapping(embeddings=GOOD, other=listed(200)),
    mapping(embeddings=GOOD, other=doubled(200)),
    b"}" + doubled(40) + GOOD + b"s",
    b"}" + doubled(200) + GOOD + b"s",
    b"}" + GOOD + GOOD + b"s",
    b"}" + b"N" + GOOD + b"s",
    b"}" + b"\x8a\xff" + b"\x7f" * 255 + GOOD + b"s",
    b"}" + b"G\x7f\xf8\0\0\0\0\0\0" + GOOD + b"s",
    *(
        attribute(name, whole(1))
        for name in ("items", "keys", "values", "get", "__class__", "_metadata", "__len__")
    ),
    *(b"}" + text(words) + GOOD + b"s" for words in WORDS),
    *(
        mapping(embeddings=called(*names) + group(*args) + b"R")
        for names in CALLS
        for args in ((), (whole(2**40),), (text("touch exploded"),))
    ),
    b"]q\0h\0a",
    b"}q\0" + text("a") + b"h\0s",
    b"(" * 100_000 + b"t" * 100_000,
    b"]" * 100_000 + b"a" * 99_999,
    b"}" + (text("a") + b"}") * 50_000 + b"s" * 50_000,
    b")" + b"\x85" * 100_000,
    b"]" * 4_000_000,
    b"}" * 4_000_000,
    b"N" * 4_000_000,
    b"K\x01" * 2_000_000,
    doubled(40) + b")R",
    listed(40) + b")R",
    listed(40) + b")\x81",
    group(text("storage"), called("torch", "FloatStorage"), listed(40), text("cpu"), whole(90)) + b"Q",
    group(text("storage"), called("torch", "FloatStorage"), text("0"), text("cpu"), listed(40)) + b"Q",
    mapping(embeddings=called("torch._utils", "_rebuild_tensor_v2") + group(listed(40)) + b"R"),
    mapping(
        embeddings=called("collections", "OrderedDict")
        + group(b"](" + group(doubled(40), b"N") + b"e")
        + b"R"
    ),
    b"h\xff",
    b"0" * 10,
    b"." * 10,
    b"",
)
"""Pickles without their first two bytes and their last."""


def pickles(rng: Random, seeds: Seeds, number: int) -> Attack:
    """Pickles that run code, under every name."""
    names = list(PICKLED)
    if number < len(names):
        return Attack(names[number], PICKLED[names[number]])
    suffix = rng.choice(
        ("npy", "npz", "safetensors", "pt", "pth", "parquet", "onnx", "zip", "pt2", "pkl", "bin")
    )
    module, name = rng.choice(CALLS)
    if rng.random() < 0.5:
        arguments = group(
            text(rng.choice(("exploded", "touch exploded", "__import__('os').mkdir('exploded')")))
        )
        content = b"\x80\x02" + called(module, name) + arguments + b"R."
    else:
        content = bytearray(pickle.dumps(_Explosive(), rng.randrange(6)))
        for _ in range(rng.randrange(3)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        content = bytes(content)
    if rng.random() < 0.5:
        content = repacked(saved({"a": torch.ones(30, 3)}), data_pkl=content)
    return Attack(f"a.{suffix}", content)


class _Explosive:
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, ("exploded",)


def saves(rng: Random, seeds: Seeds, number: int) -> Attack:
    """Files of torch.save whose index of tensors is another program."""
    program = PROGRAMS[number] if number < len(PROGRAMS) else _mutated(rng)
    name = rng.choice(("state.pt", "state.pth"))
    parts: dict[str, bytes] = {"data_pkl": b"\x80\x02" + program + b"."}
    content = repacked(saved({"a": torch.ones(30, 3)}), **parts)
    if number % 5 == 4:
        return Attack("policy.zip", policy(1, weights=content))
    return Attack(name, content)


def _mutated(rng: Random) -> bytes:
    """Operations changed, left out or put in."""
    program = bytearray(rng.choice(PROGRAMS[:60])) or bytearray(b"N")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(program)) if program else 0
        operation = rng.choice(b"()0245Qabceh}]lNR\x81\x85\x86\x87\x88\x89\x8aqurstuXJKMG")
        match rng.randrange(4):
            case 0:
                program[at:at] = bytes([operation])
            case 1:
                del program[at : at + rng.choice((1, 1, 4))]
            case 2:
                program[at : at + 1] = bytes([rng.randrange(256)])
            case 3:
                program[at:at] = rng.choice(
                    (whole(2**62), whole(-1), b"N", b"h\0", text("\x1b"), EMPTY, GOOD)
                )
    return bytes(program)


SHAPES = ((4,), (6,), (2, 6), (6, 4), (6, 6), (0, 4), (6, 0), (), (1, 4), (2**12, 4), (6, 4, 1))


def policies(rng: Random, seeds: Seeds, number: int) -> Attack:
    """Policies whose data or weights say something else."""
    match number % 4:
        case 0:
            return Attack("policy.zip", policy(1, weights=saved(_weights(rng))))
        case 1:
            content = rng.choice(RAW) if rng.random() < 0.2 else hostile(dict(DATA), rng)
            return Attack("policy.zip", policy(1, data=encoded(content, rng)))
        case 2:
            tree = json.loads(json.dumps(DATA))
            space = tree["observation_space"]
            match rng.randrange(4):
                case 0:
                    shape = rng.choice(
                        ([2**23] * 8, [4] * 9, [-4], [4.0], [True, 4], ["4"], [2**63], [], [0], [1, 4])
                    )
                    space["_shape"] = shape
                case 1:
                    space |= {":type:": "<class 'gymnasium.spaces.discrete.Discrete'>"}
                    space["n"] = rng.choice((4, "4", "4" * 5000, "10000000", "0", "-1", 1e9, None, [4], "٤"))
                case 2:
                    kind = rng.choice(
                        ("Dict", "Tuple", "MultiDiscrete", "MultiBinary", "Box\x1b[2J", "x" * 10_000)
                    )
                    space[":type:"] = f"<class 'gymnasium.spaces.box.{kind}'>"
                case 3:
                    word = rng.choice(WORDS)
                    tree["policy_class"]["__module__"] = word
                    tree["policy_kwargs"]["activation_fn"] = rng.choice(
                        (word, f"<class 'torch.nn.modules.{word}'>")
                    )
            return Attack("policy.zip", policy(1, data=json.dumps(tree).encode("utf-8", "surrogatepass")))
    return Attack("policy.zip", _reordered(rng, seeds["policy.zip"]))


def _weights(rng: Random) -> Mapping[str, Any]:
    weights: dict[str, Any] = dict(policy_weights(1))
    for _ in range(rng.choice((1, 1, 2, 3))):
        name = rng.choice(list(weights))
        match rng.randrange(7):
            case 0:
                del weights[name]
            case 1:
                weights[name] = torch.ones(rng.choice(SHAPES))
            case 2:
                weights[rng.choice((*WORDS, "extra", "mlp_extractor.policy_net.2.weight"))] = torch.ones(6, 6)
            case 3:
                weights[name] = torch.full((6, 4), rng.choice((float("nan"), float("inf"), 3e38, 0.0)))
            case 4:
                weights[name] = rng.choice((None, 3, "weights", [torch.ones(2)], {"a": torch.ones(2)}))
            case 5:
                kinds = (
                    torch.float64,
                    torch.float16,
                    torch.int64,
                    torch.bool,
                    torch.complex64,
                    torch.bfloat16,
                )
                weights[name] = torch.ones(rng.choice(SHAPES)).to(rng.choice(kinds))
            case 6:
                weights[name] = torch.ones(1).expand(rng.choice(((6, 4), (10**9,), (10**6, 10**6))))
    return weights


def _reordered(rng: Random, content: bytes) -> bytes:
    """The archive with parts left out, exchanged, repeated or added."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = rng.randrange(len(members))
    name, held = members[at]
    match rng.randrange(5):
        case 0:
            del members[at]
        case 1:
            members[at] = name, rng.choice(members)[1]
        case 2:
            members[at] = name, held[: rng.randrange(1 + len(held))]
        case 3:
            members[at] = rng.choice(("../policy.pth", "/policy.pth", "policy.pth/", "data\0")), held
        case 4:
            members += [(f"../../owned{i}", b"") for i in range(rng.choice((1, 50, 200)))]
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", rng.choice((0, 0, 8))) as archive:
        warnings.simplefilter("ignore")  # of names that stand twice
        for name, held in members:
            archive.writestr(name, held)
    return buffer.getvalue()
