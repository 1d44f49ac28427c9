"""What a file is, as a page."""

from __future__ import annotations

import pandas as pd

from diag._show import Description, FileDescription
from diag.outputs.html import footer
from diag.outputs.show_text import facts
from reports import Page, Section, render


def page(found: Description | FileDescription) -> str:
    """The page of ``diag show``."""
    if isinstance(found, FileDescription):
        table = pd.DataFrame(
            [{"diagnosis": name, "lacks": lacking or "nothing"} for name, lacking in found.lacks.items()]
        )
        sections = [Section("What can be asked of it", table=table)]
        title, words = found.subject.path, found.subject.label or facts(found)[0][1]
        return render(Page(title, "", words, facts(found), sections, footer()))
    checkpoint, header = found.checkpoint, found.checkpoint.header
    phase = found.settings["train" if header.plan is None else "transfer"]
    role = "base" if header.plan is None else f"transfer, plan {header.plan['name']}"
    rows = [
        ("world", f"{found.settings['world']}, {header.task} task (preset {found.settings['preset']})"),
        ("step", f"{header.step} of {phase['updates']} updates, {phase['algorithm']}, seed {header.seed}"),
    ]
    if header.base is not None:
        rows.append(("parent", f"{header.base['path']} (sha256 {header.base['sha256'][:16]}…)"))
    rows.append(("sha256", f"{checkpoint.sha256[:16]}…, tensors {checkpoint.identity[:16]}…"))
    table = pd.DataFrame(
        [
            {
                "component": part.name,
                "parameters": f"{part.parameters:,}",
                "widths": part.shape,
                "trained": "yes" if part.trained else "frozen",
            }
            for part in found.components
        ]
    )
    words = f"A {header.system} {role}."
    sections = [Section("Components", table=table)]
    return render(Page(checkpoint.path, "", words, rows, sections, footer()))
