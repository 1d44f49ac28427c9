"""Draw the README's picture of a report: a comparison of shipped checkpoints, in headless Chromium.

python docs/make_page_picture.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import diag
from diag.outputs.registry import html

ROOT = Path(__file__).parent.parent

SIZE = "1280,800"


def main() -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("found no Chromium, which takes the picture")
    compared = diag.compare(
        ROOT / "examples" / "base.safetensors", ROOT / "examples" / "mirrored.safetensors"
    )
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(html(compared), "utf-8")
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--virtual-time-budget=8000",
        ]
        flags += [f"--user-data-dir={folder}/profile", f"--window-size={SIZE}"]
        picture = ROOT / "docs" / "report.png"
        subprocess.run(
            [browser, *flags, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True
        )


if __name__ == "__main__":
    main()
