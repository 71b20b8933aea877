#!/usr/bin/env python3
"""Run the blocks of a page of docs/ in an empty folder and keep the figures that it shows.

    python scripts/draw_page.py trust

Takes a page, and a folder for its figures (docs/figures by default). Which file of the run is which figure of the page
stands in FIGURES.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from mscpkpd import cli

DOCS = Path(__file__).parents[1] / "docs"
FIGURES = {
    "trust": {
        "two_labs_check/figures/goodness_of_fit.png": "trust_two_labs.png",
        "absolute_check/figures/residuals.png": "trust_noise.png",
        "comparison.png": "trust_comparison.png",
    },
    "evidence": {"facts.png": "evidence_facts_SYNTHETIC.png"},
}


def main(page: str, target: str = str(DOCS / "figures")) -> None:
    """Write, run and type the blocks in their order, then copy."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    to = Path(target).absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        names: dict[str, object] = {}
        for kind, code in re.findall(r"^```(python|sh|toml|csv)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
            if kind in ("toml", "csv"):  # the first line is its name
                Path(code.splitlines()[0].removeprefix("#").strip()).write_text(code, encoding="utf-8")
            if kind == "python":
                exec(compile(code, page, "exec"), names)  # noqa: S102 - the page is the program
            for line in code.splitlines() if kind == "sh" else ():
                cli.run(shlex.split(line, comments=True)[1:])
        for made, name in FIGURES[page].items():
            shutil.copy(made, to / name)
        os.chdir(to)


if __name__ == "__main__":
    main(*sys.argv[1:])
