"""The wheel stands on its own (G4): installed in an empty environment, it loads every shipped model and its values."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

ISOLATED = ("-I",)  # neither PYTHONPATH nor the current folder may stand in for what the wheel lacks

WHERE = "import mscpkpd; print(mscpkpd.__file__)"
LOAD_EVERYTHING = """
import json
from mscpkpd.modelfile import declaration, library_path, load_model, load_regimen, models, regimens
from mscpkpd.responder import load_responder, responders
loaded = {}
for name in models():
    declared = declaration(name)
    for values in declared.sufficient if declared.without_value else (None,):
        loaded[f"{name} {values or ''}".strip()] = len(load_model(name, values=values).parameters)
doses = [len(load_regimen(name)) for name in regimens()]
scores = [type(load_responder(name)).__name__ for name in responders()]
print(json.dumps({"library": str(library_path()), "models": loaded, "doses": doses, "scores": scores}))
"""


class Installed(NamedTuple):
    """A wheel, and the environment that holds nothing else."""

    wheel: Path
    python: Path
    packages: Path


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(repository))
    (wheel,) = folder.glob("mscpkpd-*.whl")
    environment = folder / "environment"
    _run(sys.executable, "-m", "venv", str(environment))
    scripts = {"base": str(environment), "platbase": str(environment)}
    python = Path(sysconfig.get_path("scripts", "venv", scripts)) / "python"
    packages = Path(sysconfig.get_path("purelib", "venv", scripts))
    _run(str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    return Installed(wheel, python, packages)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def with_dependencies(installed: Installed, python) -> Installed:
    """The environment, after a check that it was empty, with what mscpkpd depends on made visible behind it."""
    link = installed.packages / "dependencies.pth"
    link.unlink(missing_ok=True)
    assert python("import importlib.util as u; print(u.find_spec('numpy'))", **_in(installed)) == "None\n"
    assert Path(python(WHERE, **_in(installed)).strip()).is_relative_to(installed.packages)
    link.write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    assert Path(python(WHERE, **_in(installed)).strip()).is_relative_to(installed.packages)
    return installed


def _in(installed: Installed) -> dict[str, object]:
    return {"interpreter": installed.python, "options": ISOLATED}


def test_every_shipped_model_loads_from_the_wheel(repository: Path, with_dependencies: Installed, python) -> None:
    answer = json.loads(python(LOAD_EVERYTHING, **_in(with_dependencies)).splitlines()[-1])
    assert Path(answer["library"]).is_relative_to(with_dependencies.packages)
    shipped = {path.stem for path in (repository / "models" / "pkpd").glob("*.toml")}
    assert shipped
    assert {name.split()[0] for name in answer["models"]} == shipped
    stems = {stem for name in answer["models"] if " " in name for stem in name.split()[1].split(",")}
    assert {"mouse", "rat", "human_70kg", "tsg6"} <= stems
    assert min(answer["models"].values()) > 0
    assert min(answer["doses"], default=0) > 0
    assert set(answer["scores"]) == {"Responder"}


def test_the_wheel_holds_all_of_the_library_and_nothing_else(repository: Path, installed: Installed) -> None:
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    library = {path.relative_to(repository) for path in (repository / "models").rglob("*") if path.is_file()}
    assert {f"mscpkpd/{path.as_posix()}" for path in library if path.name[0] != "."} <= names
    assert "mscpkpd/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"mscpkpd"}


def test_the_shell_command_is_installed(
    with_dependencies: Installed, unmeasured: dict[str, str], tmp_path: Path
) -> None:
    environment = {name: value for name, value in unmeasured.items() if name != "PYTHONPATH"}
    command = [str(with_dependencies.python.with_name("mscpkpd")), "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "simulate" in done.stdout
