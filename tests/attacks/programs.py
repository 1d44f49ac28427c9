"""ONNX programs that mean harm: bombs, files elsewhere, graphs without end."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np

from tests.attacks.attack import Attack, Seeds
from tests.attacks.trees import WORDS

WIDTH, EMBEDDED = 4, 3
ONE = np.ones(1, np.float32)


def _model(
    nodes: list[Any],
    held: list[Any],
    inputs: list[Any] | None = None,
    outputs: list[Any] | None = None,
    **more: Any,
) -> bytes:
    from onnx import TensorProto, helper

    given = (
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])] if inputs is None else inputs
    )
    made = outputs or [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "graph", given, made, held)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", more.get("opset", 17))], ir_version=8
    )
    content: bytes = model.SerializeToString()
    return content


def _node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, inputs, outputs, **attributes)


def _weights(name: str = "w") -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ones((WIDTH, EMBEDDED), np.float32), name)


def _constant(values: Any, name: str) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(values), name)


def _external(place: str, length: int = 48, offset: int = 0) -> bytes:
    held = _weights()
    held.ClearField("raw_data")
    held.data_location = 1
    for key, value in (("location", place), ("offset", str(offset)), ("length", str(length))):
        entry = held.external_data.add()
        entry.key, entry.value = key, value
    return _model([_node("MatMul", ["x", "w"], ["embedding"])], [held])


def _claimed(shape: list[int]) -> bytes:
    held = _weights()
    del held.dims[:]
    held.dims.extend(shape)
    return _model([_node("MatMul", ["x", "w"], ["embedding"])], [held])


def called(levels: int, times: int, back: bool = False) -> bytes:
    """Functions that each call the next one so many times; ``back``: and the last one the first."""
    from onnx import TensorProto, helper

    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for level in range(levels):
        last = level == levels - 1
        kind, domain = ("Identity", "") if last and not back else (f"f{0 if last else level + 1}", "own")
        names = ["a", *(f"t{i}" for i in range(1, times)), "b"]
        nodes = [helper.make_node(kind, [a], [b], domain=domain) for a, b in pairwise(names)]
        functions.append(helper.make_function("own", f"f{level}", ["a"], ["b"], nodes, imports))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", WIDTH]) for n in ("x", "embedding")]
    graph = helper.make_graph([_node("f0", ["x"], ["embedding"], domain="own")], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def _computed(kind: str, *held: Any) -> bytes:
    """A constant that an operation makes of constants, which may be done before the program is run."""
    names = [f"c{i}" for i in range(len(held))]
    nodes = [
        _node(kind, names, ["big"], **({"axis": 0} if kind == "Concat" else {})),
        _node("ReduceSum", ["big"], ["sum"], keepdims=0),
        _node("Add", ["x", "sum"], ["embedding"]),
    ]
    return _model(nodes, [_constant(value, name) for value, name in zip(held, names, strict=True)])


def _grown(levels: int) -> bytes:
    """A constant joined to itself, again and again."""
    nodes = [_node("Concat", [f"t{i}"] * 2, [f"t{i + 1}"], axis=0) for i in range(levels)]
    nodes += [
        _node("ReduceSum", [f"t{levels}"], ["sum"], keepdims=0),
        _node("Add", ["x", "sum"], ["embedding"]),
    ]
    return _model(nodes, [_constant(np.ones(1, np.float32), "t0")])


def filled(shape: list[int]) -> bytes:
    """A constant of this shape, made from its shape alone."""
    nodes = [
        _node("ConstantOfShape", ["shape"], ["big"]),
        _node("ReduceSum", ["big"], ["sum"], keepdims=0),
        _node("Add", ["x", "sum"], ["embedding"]),
    ]
    return _model(nodes, [_constant(np.array(shape, np.int64), "shape")])


def _expanded(count: int) -> bytes:
    """Its input repeated so many times."""
    nodes = [_node("Tile", ["x", "times"], ["big"]), _node("ReduceSum", ["big", "axis"], ["embedding"])]
    return _model(
        nodes,
        [_constant(np.array([1, count], np.int64), "times"), _constant(np.array([1], np.int64), "axis")],
    )


def _chain(count: int) -> bytes:
    nodes = [_node("Identity", ["x" if i == 0 else f"t{i}"], [f"t{i + 1}"]) for i in range(count)]
    return _model([*nodes, _node("MatMul", [f"t{count}", "w"], ["embedding"])], [_weights()])


def _doubling(levels: int) -> bytes:
    """Each step twice as wide as the one before."""
    nodes = [_node("Concat", [f"t{i}" if i else "x"] * 2, [f"t{i + 1}"], axis=1) for i in range(levels)]
    return _model([*nodes, _node("Identity", [f"t{levels}"], ["embedding"])], [])


def _nested(depth: int) -> bytes:
    """Branches inside branches."""
    from onnx import TensorProto, helper

    def branch(level: int) -> Any:
        out = helper.make_tensor_value_info(f"b{level}", TensorProto.FLOAT, None)
        if level == depth:
            return _flat(level)
        inside = _node(
            "If", ["yes"], [f"b{level}"], then_branch=branch(level + 1), else_branch=_flat(level + 1)
        )
        return helper.make_graph([inside], f"g{level}", [], [out])

    def _flat(level: int) -> Any:
        out = helper.make_tensor_value_info(f"b{level}", TensorProto.FLOAT, None)
        return helper.make_graph([_node("Identity", ["x"], [f"b{level}"])], f"f{level}", [], [out])

    nodes = [_node("If", ["yes"], ["embedding"], then_branch=branch(0), else_branch=_flat(0))]
    return _model(nodes, [_constant(np.array(True), "yes")])


def _wrapped(depth: int) -> bytes:
    """Graphs in attributes of nodes of graphs, as bytes: a parser goes down before it looks at any."""
    inside = b""
    for _ in range(depth):
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # an attribute's graph, a node's attribute, a graph's node
            inside = tag + _length(len(inside)) + inside
    return b"\x08\x08" + b"\x3a" + _length(len(inside)) + inside


def _length(value: int) -> bytes:
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


def typed(kind: str, shape: list[Any] | None, count: int = 1) -> bytes:
    from onnx import TensorProto, helper

    names = ["x"] + [f"y{i}" for i in range(count - 1)]
    given = [helper.make_tensor_value_info(n, getattr(TensorProto, kind), shape) for n in names[:count]]
    first = names[0] if count else "w"
    return _model([_node("Identity", [first], ["embedding"])], [_weights()], given)


def _word(words: str) -> bytes:
    from onnx import TensorProto, helper

    clean = words.encode("utf-8", "replace").decode()
    out = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (clean, f"{clean}2")]
    return _model(
        [_node("MatMul", ["x", "w"], [clean]), _node("Identity", [clean], [f"{clean}2"])],
        [_weights()],
        None,
        out,
    )


def _strange(kind: str, domain: str = "", **more: Any) -> bytes:
    return _model([_node(kind, ["x"], ["embedding"], domain=domain)], [], **more)


FIXED: tuple[Callable[[], bytes], ...] = (
    *(
        lambda p=p: _external(p)
        for p in (
            "../../../../../../etc/passwd",
            "/etc/passwd",
            "/dev/zero",
            "none.bin",
            "",
            "x\0y",
            "a" * 5000,
        )
    ),
    lambda: _external("w.bin", 2**62),
    lambda: _external("w.bin", 48, 2**62),
    lambda: _external("w.bin", -1, -48),
    *(
        lambda s=s: _claimed(s)
        for s in ([2**31, 2**31], [2**40], [-1, 3], [0, 3], [2**62, 4], [1] * 2000, [4, 3, 1])
    ),
    *(lambda s=s: filled(s) for s in ([2**30, 2**3], [2**40], [2**62, 2], [-5], [2**20, 2**20], [2**29])),
    *(lambda c=c: _expanded(c) for c in (1, 10**6, 2**40, -1)),
    *(lambda c=c: _chain(c) for c in (10, 3000)),
    *(lambda c=c: _doubling(c) for c in (3, 30, 60)),
    *(lambda d=d: _nested(d) for d in (1, 5, 10)),
    *(lambda c=c: called(*c) for c in ((3, 2), (40, 2), (3000, 1), (1, 1, True), (5, 2, True), (2, 40_000))),
    *(lambda c=c: _grown(c) for c in (4, 28, 34, 60)),
    lambda: _computed("Expand", ONE, np.array([2**33], np.int64)),
    lambda: _computed("Range", np.float32(0), np.float32(1e10), np.float32(1)),
    lambda: _computed("Pad", ONE, np.array([0, 2**33], np.int64)),
    lambda: _computed("MatMul", np.ones((50_000, 1), np.float32), np.ones((1, 50_000), np.float32)),
    lambda: _computed(
        "OneHot", np.zeros(1, np.int64), np.array([2**33], np.int64), np.array([0, 1], np.float32)
    ),
    *(lambda d=d: _wrapped(d) for d in (10, 30, 34, 100, 10_000)),
    *(
        lambda k=k: typed(k, ["n", WIDTH])
        for k in ("STRING", "BFLOAT16", "COMPLEX64", "DOUBLE", "INT8", "BOOL", "UINT4", "FLOAT8E4M3FN")
    ),
    *(
        lambda s=s: typed("FLOAT", s)
        for s in (
            None,
            [],
            [0, WIDTH],
            [-1, WIDTH],
            ["n", "n"],
            [60, WIDTH],
            [7, WIDTH],
            [2**40, WIDTH],
            ["n", 5],
        )
    ),
    *(lambda c=c: typed("FLOAT", ["n", WIDTH], c) for c in (0, 2, 300)),
    *(lambda w=w: _word(w) for w in WORDS),
    *(
        lambda k=k: _strange(k)
        for k in ("NoSuchOperator", "", "\x1b[2J", "Identity\0", "RandomNormalLike", "Shape", "NonZero")
    ),
    *(lambda d=d: _strange("Identity", d) for d in ("com.microsoft", "ai.onnx.ml", "my.domain", "\x1b")),
    *(lambda o=o: _strange("Identity", opset=o) for o in (0, -1, 1, 9999, 2**62)),
)


def programs(rng: Random, seeds: Seeds, number: int) -> Attack:
    """Programs made to mean harm, then ones whose bytes are mixed."""
    beside = {"w.bin": np.ones((WIDTH, EMBEDDED), np.float32).tobytes()}
    if number < len(FIXED):
        return Attack("program.onnx", FIXED[number](), beside=beside)
    content = bytearray(seeds["program.onnx"])
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(content))
        match rng.randrange(4):
            case 0:
                content[at] = rng.choice((0, 1, 7, 8, 0x0A, 0x12, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 1:  # a number of other length
                content[at : at + 1] = rng.choice(
                    (b"\xff" * 9 + b"\x01", b"\x80\x80\x80\x80\x10", b"\xff\xff\xff\xff\x0f")
                )
            case 2:
                del content[at : at + rng.choice((1, 2, 8))]
            case 3:
                end = rng.randrange(len(content))
                content[at:at] = content[min(at, end) : max(at, end)]
    return Attack("program.onnx", bytes(content), beside=beside)
