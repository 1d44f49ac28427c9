"""Draw the README's picture from the folder of a finished demo.

    python docs/make_picture.py demo

Needs the demo's base 3 and its transfers, as `diag demo` leaves them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import vl_convert

import diag
from diag import _demo
from diag.outputs import html
from reports.page import VEGA_LITE


def main() -> None:
    folder = Path(sys.argv[1])
    seed = _demo.BASE_SEEDS[0]
    base = folder / "base" / f"seed{seed}.safetensors"
    transfers = [folder / f"transfers-of-base{seed}" / f"seed{s}.safetensors" for s in _demo.TRANSFER_SEEDS]
    results = [diag.compare(base, path) for path in transfers]
    spec = html.embedding_chart(_demo.all_panels(results), 2).to_dict()
    spec["config"]["background"] = "white"
    picture = vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=1)
    (Path(__file__).parent / "demo.png").write_bytes(picture)


if __name__ == "__main__":
    main()
