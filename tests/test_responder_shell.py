"""``mscpkpd responder`` and what its folders, checklists and cards say. All patients are SYNTHETIC."""

import json
import re

import pandas as pd
import pytest

from mscpkpd.cli import app as cli
from mscpkpd.report import write_report
from mscpkpd.responder import BANNER, load_responder, load_scorer
from mscpkpd.responder.reporting import AUTHORS, checklist, checklist_markdown, model_card
from mscpkpd.responder.synthetic import synthetic_cohort

CUT_OFF = re.compile(r"(cut-?off|threshold|limit)[^.|\n]{0,40}\d[\d.]*\s*(pg|ng)/mL", re.IGNORECASE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Run folders of every command."""
    place = tmp_path_factory.mktemp("responder")
    (place / "trial_SYNTHETIC.csv").write_text(
        synthetic_cohort("base", 60, seed=3).to_frame().assign(label="SYNTHETIC").to_csv(index=False)
    )
    (place / "other_SYNTHETIC.csv").write_text(
        synthetic_cohort("base", 80, seed=4).to_frame().assign(label="SYNTHETIC").to_csv(index=False)
    )
    for words in (
        ["prior", "--out", "prior"],
        ["update", "trial_SYNTHETIC.csv", "--landmark", "--out", "update"],
        ["calibrate", "update", "other_SYNTHETIC.csv", "--out", "calibration"],
        ["design", "--patients", "80,160", "--out", "design"],
    ):
        paths = [str(place / word) if word in WHERE or word.endswith(".csv") else word for word in words[1:]]
        assert cli.run(["responder", words[0], *paths]) == 0
    assert cli.run(["score", str(place / "other_SYNTHETIC.csv"), "--responder", str(place / "update"), "--out",
                    str(place / "scores")]) == 0  # fmt: skip
    return place


WHERE = ("prior", "update", "calibration", "design")


def texts_of(folder) -> dict[str, str]:
    """Every text that the commands wrote, without the libraries that travel with a scorer."""
    endings = (".csv", ".md", ".html", ".txt", ".json", ".toml")
    found = (path for path in folder.rglob("*") if path.suffix in endings)
    own = (path for path in found if path.name not in ("responder.toml", "response_rates.csv"))
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in own}


def test_every_command_writes_tables_figures_and_a_report(folder):
    for name, table, picture in (
        ("prior", "trials.csv", "response_rates.png"),
        ("update", "comparison.csv", "prior_and_cohort.png"),
        ("calibration", "decision_curve.csv", "decision_curve.png"),
        ("design", "sample_size.csv", "enrichment.png"),
    ):
        run = folder / name
        assert len(pd.read_csv(run / table))
        assert (run / "figures" / picture).stat().st_size > 10_000
        page = (run / "report.html").read_text()
        assert BANNER.replace("'", "&#x27;") in page
        assert "data:image/png" in page


def test_outside_the_banner_the_word_benefit_occurs_in_no_output(folder):
    for name, text in texts_of(folder).items():
        said = text.replace(BANNER, "").casefold().replace("net benefit", "")
        assert "benefit" not in said, name


def test_no_output_names_a_level_to_act_on(folder):
    for name, text in texts_of(folder).items():
        assert not CUT_OFF.search(text), name


def test_no_number_is_attributed_to_zhao(folder):
    for name, text in texts_of(folder).items():
        for line in text.splitlines():
            if "zhao y" in line.casefold() or "zhao2025" in line.casefold():
                assert not re.search(r"\d+/\d+|\d+ ?%", line.replace("2025;16:345", "")), name


def test_everything_synthetic_says_so(folder):
    for name in ("update", "calibration", "design", "scores"):
        assert "SYNTHETIC" in (folder / name / "report.html").read_text()
    assert "SYNTHETIC" in (folder / "update" / "model_card.md").read_text()


def test_an_update_can_be_shared_without_patients(folder):
    """The scorer holds no name and no level of a patient, and is small."""
    scorer = folder / "update" / "scorer"
    text = "".join(path.read_text() for path in scorer.glob("*.toml"))
    assert "SYN-0001" not in text
    assert sum(path.stat().st_size for path in scorer.iterdir()) < 2_000_000
    assert load_scorer(scorer).contrasts
    page = (folder / "update" / "report.html").read_text()
    assert "SYN-0001" in page
    write_report(folder / "update", show_data=False)
    assert "SYN-0001" not in (folder / "update" / "report.html").read_text()
    write_report(folder / "update")


def test_a_saved_update_scores_one_patient(folder, capsys):
    words = [
        "score",
        "--cxcl10",
        "640",
        "--unit",
        "pg/mL",
        "--platform",
        "ELISA",
        "--responder",
        str(folder / "update"),
    ]
    assert cli.run([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    row = answer["scores"][0]
    assert 0 < row["lower"] < row["lower_80"] < row["lower_50"] < row["p_response"] < row["upper_50"] < row["upper"] < 1
    assert answer["banner"] == BANNER
    assert cli.run([*words, "--cohort", str(folder / "trial_SYNTHETIC.csv")]) == 2
    assert "a saved scorer has learned already" in capsys.readouterr().err


def test_the_shell_prints_banner_and_tables(folder, capsys):
    assert (
        cli.run(["responder", "calibrate", str(folder / "update" / "scorer"), str(folder / "other_SYNTHETIC.csv")]) == 0
    )
    said = capsys.readouterr().out
    assert said.startswith(BANNER)
    assert "calibration_slope" in said
    assert "SYNTHETIC patients" in said
    assert cli.run(["responder", "prior", "--subset", "children", "--json"]) == 0
    assert "2 cohorts (children alone)" in json.loads(capsys.readouterr().out)["pooled"]
    assert cli.run(["responder", "design", "--patients", "80", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["enrichment"]) == 3


def test_a_form_from_blank_to_prior(tmp_path, capsys):
    form = tmp_path / "form.csv"
    assert cli.run(["responder", "prior", "--blank", str(form)]) == 0
    assert "nothing quantitative is known" in capsys.readouterr().out
    assert cli.run(["responder", "prior", "--form", str(form)]) == 2
    assert "no numbers of responders and non-responders" in capsys.readouterr().err


def test_rows_of_the_user_are_pooled_by_the_shell(tmp_path, capsys):
    rows = tmp_path / "ours.csv"
    rows.write_text("study,n,responders,tissue\nours2026,40,16,UC\n")
    assert cli.run(["responder", "prior", "--rows", str(rows), "--without", "muroi2013", "--json"]) == 0
    trials = json.loads(capsys.readouterr().out)["trials"]
    assert "ours2026" in trials
    assert "muroi2013" not in trials


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["update", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["update", "trial.csv", "--prior", "s_u"], "expected NAME=PRIOR"),
        (["calibrate", "nowhere", "trial.csv"], "no scorer.toml"),
        (["design", "--patients", "many"], "--patients many; expected whole numbers"),
        (["synthetic", "base", "cohort.csv"], "expected a file name that contains SYNTHETIC"),
        (["prior", "--subset", "uc"], "unknown subset of trials 'uc'"),
    ],
)
def test_wrong_words_are_refused_with_advice(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trial.csv").write_text(synthetic_cohort("base", 12, seed=1).to_frame().to_csv(index=False))
    assert cli.run(["responder", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_synthetic_cohort_of_the_shell_is_labelled(tmp_path, capsys):
    path = tmp_path / "null_SYNTHETIC.csv"
    assert cli.run(["responder", "synthetic", "null", str(path), "--patients", "12"]) == 0
    table = pd.read_csv(path)
    assert set(table["label"]) == {"SYNTHETIC"}
    assert table["patient"].str.startswith("SYN-").all()
    assert "12 SYNTHETIC patients" in capsys.readouterr().out


# ---- checklist and card ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scorer():
    return load_responder().update(synthetic_cohort("base", 40, seed=3), draws=500)


def test_the_checklist_has_all_items_and_leaves_open_what_only_authors_know(scorer):
    items = checklist(scorer)
    assert sorted({int(re.match(r"\d+", item.number)[0]) for item in items}) == list(range(1, 28))
    open_items = {item.number for item in items if not item.filled}
    assert {"2", "17", "18a", "25"} <= open_items
    assert not {"12c", "15", "22", "26"} & open_items
    text = checklist_markdown(items)
    assert BANNER in text
    assert AUTHORS in text
    assert "from memory" in text
    assert text.count("\n| ") == len(items) + 1


def test_performance_goes_into_checklist_and_card(scorer):
    cohort = synthetic_cohort("base", 60, seed=5)
    tables = {"calibration": scorer.calibration(cohort)}
    answer = next(item.answer for item in checklist(scorer, tables) if item.number == "23a")
    assert re.match(r"auc 0\.\d\d \(0\.\d\d to ", answer)
    card = model_card(scorer, tables)
    assert "**Not for.**" in card
    assert "any threshold of CXCL10" in card
    assert card.index("| s_u ") < card.index("| gamma_liver | normal")  # assumed priors come first


def test_a_scorer_that_failed_its_check_says_so_first(scorer):
    import dataclasses

    assert "**NOT RELIABLE" in model_card(dataclasses.replace(scorer, ok=False))
