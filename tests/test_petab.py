"""PEtab problems: the test suite of version 1, problems of our own checked by the `petab` library, and refusals."""

from __future__ import annotations

import csv
import math
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from mscpkpd.errors import DataError, ModelError, SolveError, UnknownName, UsageError
from mscpkpd.exchange.petab_problem import load_petab
from mscpkpd.problem import pose
from sbml_files import Maker

SUITE = Path(__file__).parent / "petab" / "petabtests-0.0.1.zip"
CASES = tuple(f"{number:04}" for number in range(1, 19))
RATE, START = 0.4, 5.0


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """The unpacked test suite."""
    folder = tmp_path_factory.mktemp("suite")
    with zipfile.ZipFile(SUITE) as packed:
        packed.extractall(folder)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_the_suite_of_version_1(suite, case):
    solution = yaml.safe_load((suite / case / f"_{case}_solution.yaml").read_text())
    problem = load_petab(suite / case / f"_{case}.yaml")
    assert problem.log_likelihood() == pytest.approx(solution["llh"], abs=solution["tol_llh"] * 1e-3)
    with (suite / case / "_simulations.tsv").open() as file:
        expected = [float(row["simulation"]) for row in csv.DictReader(file, delimiter="\t")]
    np.testing.assert_allclose(problem.simulate(), expected, atol=solution["tol_simulations"] * 1e-3)


# ---- problems of our own


def decay():
    """A is lost at the rate k; its start A0 has no value in the file; V is given by an initial assignment."""
    made = Maker()
    made.compartment("c", 1.0)
    made.parameter("k", RATE)
    made.parameter("A0")
    made.parameter("V")
    made.parameter("x", constant=False)
    made.species("A", level=0.0)
    made.start("A", "A0")
    made.start("V", "2*3")
    made.rule("Assignment", "x", "A/V")
    made.reaction("r", {"A": 1}, {}, "k*A*c")
    return made


TABLES = {
    "parameters": "parameterId\tparameterScale\tlowerBound\tupperBound\tnominalValue\testimate\n"
    f"k\tlog10\t0.01\t10\t{RATE}\t1\nA0\tlin\t0\t10\t{START}\t1\nsd\tlog\t0.01\t10\t0.3\t1\nheld\tlin\t\t\t2\t0\n",
    "conditions": "conditionId\tconditionName\nc0\tas the model\n",
    "observables": "observableId\tobservableFormula\tnoiseFormula\nobs\tA\tsd\n",
    "measurements": "observableId\tsimulationConditionId\ttime\tmeasurement\nobs\tc0\t1\t3.1\nobs\tc0\t4\t1.2\n",
}


def write(folder, made=None, head=None, **tables):
    """Write a problem; tables replace those of `TABLES`, `head` entries of the YAML file."""
    (made or decay()).write(folder, "model.xml")
    for name, text in {**TABLES, **tables}.items():
        (folder / f"{name}.tsv").write_text(text)
    files = {f"{name}_files": [f"{name}s.tsv"] for name in ("condition", "observable", "measurement")}
    content = {
        "format_version": 1,
        "parameter_file": "parameters.tsv",
        "problems": [{"sbml_files": ["model.xml"], **files}],
        **(head or {}),
    }
    (folder / "problem.yaml").write_text(yaml.safe_dump(content))
    return folder / "problem.yaml"


def library_llh(folder, problem):
    """The log-likelihood that the `petab` library gives for our predictions."""
    from petab.v1.calculate import calculate_llh

    measured = pd.read_csv(folder / "measurements.tsv", sep="\t")
    observed = pd.read_csv(folder / "observables.tsv", sep="\t").set_index("observableId")
    known = pd.read_csv(folder / "parameters.tsv", sep="\t").set_index("parameterId")
    simulated = measured.drop(columns="measurement").assign(simulation=problem.simulate())
    return float(calculate_llh(measured, simulated, observed, known))


OBSERVABLES = "observableId\tobservableFormula\tnoiseFormula\tobservableTransformation\tnoiseDistribution\n"


@pytest.mark.parametrize("distribution", ["normal", "laplace"])
@pytest.mark.parametrize("transformation", ["lin", "log", "log10"])
@pytest.mark.parametrize("noise", ["0.5", "sd*obs + 0.1", "sqrt(sd^2 + 0.2^2)"])
def test_the_petab_library_agrees(distribution, transformation, noise, tmp_path):
    row = f"obs\theld*A^2 + x/7 + log10(A + 1)\t{noise}\t{transformation}\t{distribution}\n"
    problem = load_petab(write(tmp_path, observables=OBSERVABLES + row))
    level = START * np.exp(-RATE * np.array([1.0, 4.0]))
    expected = 2 * level**2 + level / 6 / 7 + np.log10(level + 1)
    np.testing.assert_allclose(problem.simulate(), expected, rtol=1e-7)
    assert problem.log_likelihood() == pytest.approx(library_llh(tmp_path, problem), rel=1e-9)


def test_values_on_natural_and_estimation_scales(tmp_path):
    problem = load_petab(write(tmp_path))
    assert problem.estimated == ("k", "A0", "sd")
    assert problem.nominal == {"k": RATE, "A0": START, "sd": 0.3, "held": 2.0}
    natural = problem.log_likelihood({"k": 0.2, "sd": 0.7})
    assert natural == pytest.approx(problem.log_likelihood({"k": math.log10(0.2), "sd": math.log(0.7)}, scaled=True))
    assert natural != problem.log_likelihood()
    with pytest.raises(UnknownName, match="unknown parameter 'kk'.*'k'"):
        problem.log_likelihood({"kk": 1.0})


def test_conditions_set_parameters_starts_and_what_an_initial_assignment_gives(tmp_path):
    conditions = "conditionId\tk\tA\tV\nc0\t\t\t4\nc1\t0.1\theld\t8\n"
    measurements = (
        "observableId\tsimulationConditionId\ttime\tmeasurement\n"
        "obs\tc0\t1\t1\nobs\tc1\t1\t1\nobs\tc1\t0\t1\n"
    )  # fmt: skip
    problem = load_petab(
        write(
            tmp_path,
            conditions=conditions,
            measurements=measurements,
            observables="observableId\tobservableFormula\tnoiseFormula\nobs\tx\t1\n",
        )
    )
    expected = [START * math.exp(-RATE) / 4, 2 * math.exp(-0.1) / 8, 2 / 8]
    np.testing.assert_allclose(problem.simulate(), expected, rtol=1e-7)
    np.testing.assert_allclose(problem.simulate({"held": 4.0})[2], 4 / 8, rtol=1e-7)


def test_an_infinite_time_is_the_steady_state(tmp_path):
    made = decay()
    made.reaction("feed", {}, {"A": 1}, "k*3*c")
    measurements = TABLES["measurements"] + "obs\tc0\tinf\t3\n"
    problem = load_petab(write(tmp_path, made, measurements=measurements))
    assert problem.simulate()[2] == pytest.approx(3.0, rel=1e-7)


def test_what_does_not_settle_is_an_error(tmp_path):
    made = decay()
    made.reaction("feed", {}, {"A": 1}, "A*c")
    problem = load_petab(write(tmp_path, made, measurements=TABLES["measurements"].replace("\t4\t", "\tinf\t")))
    with pytest.raises(SolveError, match="no steady state|could not be solved"):
        problem.log_likelihood()


def test_events_of_the_model_happen_in_every_condition(tmp_path):
    made = decay()
    made.event("dose", "time >= 2", {"A": "A + 10"})
    problem = load_petab(write(tmp_path, made))
    last = START * math.exp(-4 * RATE) + 10 * math.exp(-2 * RATE)
    np.testing.assert_allclose(problem.simulate(), [START * math.exp(-RATE), last], rtol=1e-7)


def test_a_problem_is_a_value(tmp_path):
    problem = load_petab(write(tmp_path))
    assert problem == load_petab(tmp_path / "problem.yaml")
    assert problem.model.output_names == ("obs",)
    assert problem.conditions[0].sets == ()
    assert [row.time for row in problem.measurements] == [1, 4]


def test_model_and_study_can_be_fitted(tmp_path):
    """Where nothing differs between conditions, the usual machinery sees the same problem."""
    problem = load_petab(write(tmp_path))
    posed = pose(problem.model.with_prior("k", "lognormal(0.4, 0.5)"), problem.study)
    assert posed.names == ("k",)
    np.testing.assert_allclose(posed.predict(posed.start).value, problem.simulate(), rtol=1e-6)
    noise = problem.model.output("obs").noise
    density = noise.log_density(posed.rows.value, problem.simulate(), problem.model.values)
    assert float(np.sum(density)) == pytest.approx(problem.log_likelihood())


def test_what_a_study_cannot_say(suite):
    with pytest.raises(UsageError, match="condition c0 sets a0, and a study has one model"):
        _ = load_petab(suite / "0002" / "_0002.yaml").study
    with pytest.raises(UsageError, match="a measurement has parameters of its own"):
        _ = load_petab(suite / "0003" / "_0003.yaml").study


def test_tables_in_several_files(tmp_path):
    path = write(tmp_path)
    more = TABLES["measurements"].splitlines()[0] + "\nobs\tc0\t6\t0.5\n"
    (tmp_path / "more.tsv").write_text(more)
    content = yaml.safe_load(path.read_text())
    content["problems"][0]["measurement_files"].append("more.tsv")
    path.write_text(yaml.safe_dump(content))
    assert len(load_petab(path).measurements) == 3


# ---- refused by name


def _changed(table, old, new):
    return {table: TABLES[table].replace(old, new)}


def _event():
    made = decay()
    made.event("dose", "time >= 2", {"A": "A + 10"})
    return made


WITH_STEADY = {
    "measurements": "observableId\tpreequilibrationConditionId\tsimulationConditionId\ttime\tmeasurement\n"
    "obs\tc0\tc0\t1\t3.1\n"
}
REFUSED = {
    "version 2": ({"head": {"format_version": 2}}, r"PEtab version 2; expected version 1"),
    "mapping": ({"head": {"mapping_file": "m.tsv"}}, r"'mapping_file' is not supported"),
    "two problems": ({"head": {"problems": [{}, {}]}}, r"2 problems in one file; expected one"),
    "no parameters": ({"head": {"parameter_file": ""}}, r"parameter_file|no such file"),
    "two models": ({"head": {"problems": [{"sbml_files": ["a.xml", "b.xml"]}]}}, r"2 SBML files; expected one"),
    "other models": ({"head": {"problems": [{"model_files": {}}]}}, r"'model_files' is not supported"),
    "scale": (_changed("parameters", "log10", "log20"), r"parameters\.tsv, line 2: parameterScale 'log20'.*Try: log10"),
    "number": (_changed("parameters", "\t2\t0", "\ttwo\t0"), r"line 5: nominalValue is 'two'; expected a number"),
    "no value": (_changed("parameters", "\t2\t0", "\t\t0"), r"line 5: no nominalValue"),
    "column": (_changed("parameters", "estimate", "estimated"), r"parameters\.tsv: unknown column.*'estimate'"),
    "observable": (_changed("measurements", "obs\tc0\t4", "ops\tc0\t4"), r"line 3: unknown observable 'ops'.*'obs'"),
    "condition": (_changed("measurements", "c0\t4", "c9\t4"), r"line 3: unknown condition 'c9'.*'c0'"),
    "time": (_changed("measurements", "\t4\t", "\tlate\t"), r"line 3: time is 'late'; expected a number"),
    "formula": (_changed("observables", "\tA\t", "\tsin(A)\t"), r"observables\.tsv, line 2: unknown function 'sin'"),
    "broken formula": (_changed("observables", "\tA\t", "\tA +\t"), r"line 2: 'A \+' cannot be read"),
    "name": (_changed("observables", "\tA\t", "\tAA + k\t"), r"line 2: unknown name 'AA'"),
    "places": (_changed("observables", "\tA\t", "\tobservableParameter1_obs*A\t"), r"line 2: unknown name 'observable"),
    "rule": ({"conditions": "conditionId\tx\nc0\t3\n"}, r"'x' is set by the problem, and follows from A ?/ ?V"),
    "override": ({"conditions": "conditionId\tk\nc0\tkay\n"}, r"condition c0, k: unknown parameter 'kay'.*'k'"),
    "steady with doses": ({"made": _event(), **WITH_STEADY}, r"a steady state of a model with events"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_named(changes, message, tmp_path):
    changes = dict(changes)
    path = write(tmp_path, changes.pop("made", None), changes.pop("head", None), **changes)
    with pytest.raises((DataError, UnknownName), match=message):
        load_petab(path)


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(DataError, match=r"problem\.yaml: no such file"):
        load_petab(tmp_path / "problem.yaml")
    path = write(tmp_path)
    (tmp_path / "conditions.tsv").unlink()
    with pytest.raises(DataError, match=r"conditions\.tsv: no such file; expected the condition table"):
        load_petab(path)
    for text, message in (("a: [", "no YAML"), ("7", "no PEtab problem")):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            load_petab(path)


def test_a_model_that_cannot_be_read_is_named(tmp_path):
    made = decay()
    made.event("low", "A < 1", {"A": "A + 1"})
    with pytest.raises(ModelError, match=r"model\.xml, event low: the event happens when A < 1"):
        load_petab(write(tmp_path, made))
