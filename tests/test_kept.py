"""Draws on disk: what is killed goes on, with the same number of draws, from the posterior; what differs is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import killed_chains as killed
from mscpkpd.data import read_study
from mscpkpd.errors import InputError
from mscpkpd.fitting.api import fit, load_fit
from mscpkpd.fitting.frame import Frame
from mscpkpd.fitting.kept import Place, described, read_stretch, so_far
from mscpkpd.fitting.nuts import framed
from mscpkpd.model import Variability
from mscpkpd.modelfile import library_path, load_model
from mscpkpd.population import pose_population
from mscpkpd.templates import template
from population_models import grid, linear, table
from reference.small_models import one_compartment, study

TESTS = Path(__file__).parent
PATIENCE = 120.0


def start(folder: Path) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])
    return subprocess.Popen(
        [sys.executable, str(TESTS / "killed_chains.py"), str(folder)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip


def stores(folder: Path) -> list[Path]:
    return sorted(folder.glob("chain-*/*.zarr"))


def wait_for(what: object, seconds: float = PATIENCE) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.02)


def ended(process: subprocess.Popen[str], send: int) -> int:
    process.send_signal(send)
    status = process.wait(PATIENCE)
    if process.stdout:
        process.stdout.close()
    return status


def no_store_grows(folder: Path) -> bool:
    """Whether the workers are gone, too: they notice that their parent is."""
    before = [sum(1 for _ in path.rglob("*")) for path in stores(folder)]
    time.sleep(0.5)
    return before == [sum(1 for _ in path.rglob("*")) for path in stores(folder)]


def run_to_the_end(folder: Path) -> str:
    process = start(folder)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return said


def expected_draws(folder: Path) -> np.ndarray:
    run_to_the_end(folder)
    return Place(folder).collected(killed.CHAINS, killed.DRAWS)[0]


def killed_at(folder: Path, draws: int) -> dict[str, np.ndarray]:
    """Kill a run when a chain has so many draws; what is kept of each chain."""
    process = start(folder)
    wait_for(lambda: any(so_far(path)[0] >= draws for path in stores(folder)))
    assert ended(process, signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: no_store_grows(folder))
    found = {path.parent.name: read_stretch(path) for path in stores(folder)}
    return {name: stretch.theta for name, stretch in found.items() if stretch is not None}


def assert_whole(folder: Path, expected: np.ndarray, kept: dict[str, np.ndarray]) -> None:
    """As many draws as of a run that nobody killed, those from before the kill among them, all of the posterior."""
    theta, statistics = Place(folder).collected(killed.CHAINS, killed.DRAWS)
    assert theta.shape == expected.shape
    assert np.isfinite(theta).all()
    assert all(values.shape == theta.shape[:2] for values in statistics.values())
    for name, values in kept.items():
        mine = int(name.removeprefix("chain-"))
        np.testing.assert_array_equal(values, expected[mine, : len(values)], err_msg=name)
        np.testing.assert_array_equal(values, theta[mine, : len(values)], err_msg=name)
    # a standard normal: 320 draws in 2 dimensions, about a third of them independent
    assert np.abs(theta.mean((0, 1))).max() < 4 / np.sqrt(100)
    assert theta.std((0, 1)) == pytest.approx([1.0, 1.0], abs=0.3)
    assert Place(folder).legs(killed.CHAINS, killed.DRAWS, killed.TUNE, killed.SEED) == []


def test_killed_chains_go_on(tmp_path):
    """Killed by SIGKILL at a random moment, which no program can prepare for; the workers end, too."""
    expected = expected_draws(tmp_path / "whole")
    cut = tmp_path / "cut"
    moment = int(np.random.default_rng().integers(32, 130))  # another one each time the test is run
    kept = killed_at(cut, moment)
    assert any(len(values) for values in kept.values()), moment
    said = run_to_the_end(cut)
    assert "(0, 1, " in said or "(1, 1, " in said  # a second stretch of a chain, behind the first
    assert_whole(cut, expected, kept)


@pytest.mark.slow
def test_killed_in_warm_up_killed_in_draws_and_interrupted(tmp_path):
    """Cut in warm-up a chain begins again; Ctrl-C keeps all draws; both as often as it takes."""
    expected = expected_draws(tmp_path / "whole")
    cut, place = tmp_path / "cut", Place(tmp_path / "cut")
    process = start(cut)
    wait_for(lambda: bool(stores(cut)))  # warm-up has begun
    assert ended(process, signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: no_store_grows(cut))
    begun = place.legs(killed.CHAINS, killed.DRAWS, killed.TUNE, killed.SEED)
    assert [(leg.part, leg.start, leg.tune) for leg in begun] == [(0, None, killed.TUNE)] * killed.CHAINS
    kept = killed_at(cut, 60)
    for _ in range(2):
        before, process = len(stores(cut)), start(cut)
        wait_for(lambda n=before: len(stores(cut)) > n and so_far(stores(cut)[-1])[0] >= 1)
        assert ended(process, signal.SIGINT) != 0
        remaining = place.legs(killed.CHAINS, killed.DRAWS, killed.TUNE, killed.SEED)
        assert remaining
    run_to_the_end(cut)
    assert_whole(cut, expected, kept)


def test_a_chain_goes_on_from_its_last_draw(tmp_path):
    """Coordinates, seed of its own, short warm-up; the last whole chunk of a store that was cut does not count."""
    import zarr

    place = Place(tmp_path)
    for chain, drawn in enumerate((0, 16, 40, 64)):
        group = zarr.open_group(str(tmp_path / f"chain-{chain}" / "0.zarr"), mode="w")
        numbers = np.where(np.arange(64) < drawn, np.arange(64.0), np.nan)[None]
        for name in ("depth", "n_steps", "step_size", "energy"):
            array = group.create_array(f"sample_stats/{name}", shape=(1, 64), chunks=(1, 16), dtype="float64")
            array[:] = numbers
        group.create_array("sample_stats/diverging", shape=(1, 64), chunks=(1, 16), dtype="bool")
        for name, scale in (("theta", 2.0), ("frame", 1.0)):
            array = group.create_array(f"posterior/{name}", shape=(1, 64, 1), chunks=(1, 16, 1), dtype="float64")
            array[:] = scale * numbers[..., None]
    (tmp_path / "chain-3" / "0.done").touch()
    legs = {leg.chain: leg for leg in place.legs(4, 64, 1000, 5)}
    assert sorted(legs) == [0, 1, 2]  # the last is whole
    assert [(legs[k].part, legs[k].before, legs[k].draws, legs[k].tune) for k in (0, 1)] == [(0, 0, 64, 1000)] * 2
    # 40 draws are two whole chunks and a part; the second chunk may lack numbers
    assert (legs[2].part, legs[2].before, legs[2].draws, legs[2].tune) == (1, 16, 48, 200)
    assert legs[2].start == pytest.approx([15.0])
    assert len({leg.seed for leg in legs.values()}) == 3
    assert not (tmp_path / "chain-1").exists()  # cut too early: it begins again
    first = [int(s.generate_state(1)[0]) for s in np.random.SeedSequence(5).spawn(2)]
    assert [legs[0].seed, legs[1].seed] == first


def population():
    rows = [{"time": t, "output": "conc", "value": 2.0 / t, "unit": "mg/L"} for t in (1.0, 2.0, 4.0)]
    return pose_population(one_compartment(), study(*rows), ("k", "V"))


def test_draws_of_another_fit_are_refused(tmp_path):
    """By what differs: the seed, the model's numbers, what is learned."""
    place, mine = Place(tmp_path / "draws"), described(population(), seed=1, draws=100)
    place.claim(mine)
    place.claim(mine)
    with pytest.raises(InputError, match="of another seed: 1, not 2"):
        place.claim({**mine, "seed": 2})
    with pytest.raises(InputError, match="of another draws: 100, not 50"):
        place.claim({**mine, "draws": 50})
    other = pose_population(one_compartment().replace_values({"s": 0.3}), population().problem.study, ("k", "V"))
    with pytest.raises(InputError, match="of another model: small"):
        place.claim(described(other, seed=1, draws=100))
    fewer = pose_population(one_compartment(), population().problem.study, ("k",))
    with pytest.raises(InputError, match="of another learned"):
        place.claim(described(fewer, seed=1, draws=100))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.docx").touch()
    with pytest.raises(InputError, match="no folder of draws"):
        Place(tmp_path / "other").claim(mine)


def test_coordinates_are_kept(tmp_path):
    place = Place(tmp_path)
    assert place.frame() is None
    for exchange, centred in ((None, ()), ((0, 1), ("eta_CL", "eta_V_lot"))):
        place.keep_frame(Frame(np.arange(2.0), np.eye(2) / 3, exchange), centred)
        frame, effects = place.frame()
        np.testing.assert_array_equal(frame.axes, np.eye(2) / 3)
        assert (frame.exchange, effects) == (exchange, centred)


def test_coordinates_of_another_version_are_refused(tmp_path):
    """Levels were centred as a whole once; their names are those of no effect."""
    population = pose_population(linear(Variability("c0", "subject", 2.0)), table(grid(3, (1.0, 4.0))))
    place = Place(tmp_path)
    place.keep_frame(Frame(np.zeros(1), np.eye(1)), ("subject",))
    with pytest.raises(InputError, match="centred by subject, as another version had it.*Try: remove the folder"):
        framed(population, place)


@pytest.mark.slow
def test_a_fit_that_was_killed_twice_ends_like_one_that_nobody_killed(tmp_path):
    """The command itself, by SIGKILL at random moments: as many draws, the same checks, the same means."""
    from test_cli import study_text

    (tmp_path / "model.toml").write_text(template("model"))
    (tmp_path / "study.csv").write_text(study_text())
    words = [
        "fit",
        "model.toml",
        "study.csv",
        "--chains",
        "2",
        "--draws",
        "600",
        "--tune",
        "300",
        "--free",
        "k_L,rho_L",
    ]
    program = "import sys; from mscpkpd.cli import main; main()"

    def command(*more: str) -> subprocess.Popen[bytes]:
        paths = {**os.environ, "PYTHONPATH": str(TESTS.parent / "src")}
        with (tmp_path / "said").open("w") as said:
            return subprocess.Popen(
                [sys.executable, "-c", program, *words, *more], cwd=tmp_path, env=paths, stdout=said, stderr=said
            )

    def said() -> str:
        return (tmp_path / "said").read_text()

    assert command("--out", "whole").wait(600) == 0
    cut, rng = tmp_path / "run.unfinished", np.random.default_rng()
    for again in ((), ("--resume",)):
        process, wanted = command("--out", "run", *again), int(rng.integers(20, 250)) + (300 if again else 0)
        wait_for(lambda n=wanted: sum(so_far(path)[0] for path in stores(cut)) >= n, 600.0)
        assert ended(process, signal.SIGKILL) == -signal.SIGKILL
        wait_for(lambda: no_store_grows(cut))
    assert command("--out", "run").wait(600) == 2
    assert "an interrupted fit of this name is kept" in said()
    assert command("--out", "run", "--resume", "--seed", "9").wait(600) == 2
    assert "of another seed: 0, not 9" in said()
    assert command("--out", "run", "--resume").wait(600) == 0
    assert not cut.exists()
    whole, found = load_fit(tmp_path / "whole"), load_fit(tmp_path / "run")
    assert found.converged
    assert [check.name for check in found.checks] == [check.name for check in whole.checks]
    for name, draws in found.posterior.learned.items():
        assert draws.shape == (2, 600)
        expected = whole.posterior.learned[name]
        assert draws.mean() == pytest.approx(expected.mean(), abs=0.3 * expected.std())


@pytest.mark.slow
def test_two_chains_on_two_processors_take_little_longer_than_one():
    """Under 1.3 times, of a fit of some minutes; nothing else may run, else nothing is measured."""
    if (os.cpu_count() or 1) < 2 or os.getloadavg()[0] > 0.7:
        pytest.skip("needs two processors that have nothing else to do")
    model = load_model("two_functional_compartments", values="human_70kg")
    data = read_study(library_path() / "data" / "human_111In_gholamrezanezhad_2011.csv")
    seconds = []
    for chains in (1, 2):
        began = time.monotonic()
        fit(model, data, "nuts", draws=1500, tune=500, chains=chains, cores=2, seed=1)
        seconds.append(time.monotonic() - began)
    assert seconds[1] < 1.3 * seconds[0], seconds
