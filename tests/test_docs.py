"""docs/writing_a_model.md does what it says: its files load, its Python and its shell commands run as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mscpkpd import cli
from mscpkpd.errors import ModelError
from mscpkpd.expressions import FUNCTIONS
from mscpkpd.model import LEVELS
from mscpkpd.modelfile import load_model
from mscpkpd.modelfile.chains import CHAIN_KEYS
from mscpkpd.modelfile.load import SCALARS
from mscpkpd.modelfile.rows import DERIVED_KEYS, OUTPUT_KEYS, PARAMETER_KEYS, ROUTE_KEYS, STATE_KEYS
from mscpkpd.noise import KINDS
from mscpkpd.parameters import EVIDENCE, Prior
from printed import DOCS, blocks_of, files_of, page, run_python, run_shell, work_in

PAGE = page("writing_a_model.md")
BLOCKS = blocks_of(PAGE)
FILES = files_of(BLOCKS, "toml", "csv")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with every file of the page, as printed."""
    return work_in(tmp_path, FILES, monkeypatch)


def test_every_block_is_of_a_kind_that_is_run() -> None:
    assert {kind for kind, _ in BLOCKS} == {"toml", "csv", "python", "sh", "text"}
    assert len(FILES) == len([kind for kind, _ in BLOCKS if kind in ("toml", "csv")])


def test_the_python_blocks_run_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run_python(BLOCKS, "writing_a_model.md", capsys)
    assert "1.25 0.01 lognormal(0.01, 0.4)" in printed
    assert "rho_L*k_B*blood - k_L*lung*(1 - E_max*hill(level, EC50, 1)) ('iv',)" in printed
    assert "('blood', 'lung_1', 'lung_2', 'lung_3', 'lung_4', 'factor')" in printed
    assert "4*k_L*lung_1 - 4*k_L*lung_2\n8" not in printed  # eight stages, and blood and the factor
    assert "4*k_L*lung_1 - 4*k_L*lung_2\n10" in printed
    assert "learned" in printed
    assert (folder / "counts.csv").is_file()


def test_the_shell_commands_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_shell(BLOCKS, capsys) >= 8
    assert {"once.csv", "rat.csv", "run"} <= {path.name for path in folder.iterdir()}


@pytest.mark.usefixtures("folder")
def test_the_slip_is_answered_as_printed() -> None:
    (message,) = (text.strip() for kind, text in BLOCKS if kind == "text")
    with pytest.raises(ModelError) as caught:
        load_model("slip.toml")
    assert str(caught.value) == message
    assert cli.run(["check", "slip.toml"]) == 2


@pytest.mark.usefixtures("folder")
def test_every_model_of_the_page_loads_without_a_notice() -> None:
    models = [name for name, text in FILES.items() if "\nmodel " not in text and name.endswith(".toml")]
    assert len(models) == 5
    for name in set(models) - {"slip.toml"}:
        assert load_model(name).notices == ()


def test_every_key_and_word_of_the_format_is_on_the_page() -> None:
    words = set(re.findall(r"[a-z_0-9]+", PAGE))
    keys = {*SCALARS, *PARAMETER_KEYS, *STATE_KEYS, *CHAIN_KEYS, *ROUTE_KEYS, *DERIVED_KEYS, *OUTPUT_KEYS, *LEVELS}
    assert {*keys, *FUNCTIONS, *KINDS, *EVIDENCE} - words - {"values"} == set()
    for prior in re.findall(r"`((?:log|logit|half)?normal|beta|fixed)", PAGE):
        assert prior in ("lognormal", "logitnormal", "normal", "halfnormal", "beta", "fixed")
    assert Prior.parse("fixed").is_free is False


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert target.startswith("https://") or (DOCS / target).exists(), target
