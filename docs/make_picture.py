"""Draw the README's picture from the folder of a finished demo.

python docs/make_picture.py demo
"""

from __future__ import annotations

import sys
from pathlib import Path

import vl_convert

from diag.commands.demo.measured import best_first, shown
from diag.commands.demo.page import panels
from diag.commands.demo.run import RATES, TRANSFER_SEEDS
from diag.outputs.sections import embedding_chart
from diag.sources import open_subject
from reports.drawings import VEGA_LITE


def main() -> None:
    folder = Path(sys.argv[1])
    base = open_subject(folder / "shipped" / "base.safetensors")
    transfers = [
        shown(f"{rate} rate {seed}", base, folder / "transfers" / rate / f"seed{seed}.safetensors")
        for rate in RATES
        for seed in TRANSFER_SEEDS
    ]
    colour = transfers[0].comparison.picture.colour
    spec = embedding_chart(panels(best_first(transfers)), 2, colour).to_dict()
    spec["columns"] = 5  # wide rather than long: a page's first screen
    spec["config"]["background"] = "white"
    picture = vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=1)
    (Path(__file__).parent / "demo.png").write_bytes(picture)


if __name__ == "__main__":
    main()
