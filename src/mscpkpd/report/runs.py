"""Run folders, whole or not at all: what was computed, its figures, its page, its record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from mscpkpd.errors import UsageError
from mscpkpd.files import whole_folder
from mscpkpd.fitting.result import Fit
from mscpkpd.plots import fitted_curves
from mscpkpd.report.content import MARK
from mscpkpd.report.fits import CURVES, SHOWN
from mscpkpd.report.pages import write_report
from mscpkpd.report.responders import Chapter, checklist_page, write_chapters
from mscpkpd.report.scores import SCORER, SCORES
from mscpkpd.report.simulations import BANDS, EXPOSURES, SIMULATION
from mscpkpd.responder.banner import BANNER
from mscpkpd.responder.reporting import checklist, checklist_markdown, model_card
from mscpkpd.responder.scorer import Scorer

__all__ = ["write_fit_run", "write_responder_run", "write_score_run", "write_simulation_run"]

LOG = "log.txt"


def write_fit_run(fit: Fit, folder: str | Path, extra_log: str = "", *, shown: pd.DataFrame | None = None) -> Path:
    """Write the complete run folder of a fit.

    Parameters
    ----------
    fit : Fit
        Converged or not; the page says which.
    folder : str or Path
        New, empty, or an earlier run, which is replaced.
    extra_log : str
        What log.txt says besides the fit itself.
    shown : pandas.DataFrame, optional
        Points to show that were not fitted: columns output, time, value (in the unit of the data), label.

    Returns
    -------
    Path
        The folder: the files of `Fit.save`, curves.csv, figures, report.html and log.txt.

    Raises
    ------
    UsageError
        If the folder holds something that no run made.
    """
    with whole_folder(folder, MARK) as part:
        fit.write(part)
        fitted_curves(fit).to_csv(part / CURVES, index=False)
        if shown is not None:
            shown.to_csv(part / SHOWN, index=False)
        _log(part, extra_log or str(fit))
        write_report(part)
    return Path(folder)


def write_simulation_run(
    sims: xr.Dataset,
    exposures: pd.DataFrame | Mapping[str, pd.DataFrame],
    folder: str | Path,
    provenance: Mapping[str, Any],
) -> Path:
    """Write the complete run folder of a simulation.

    Parameters
    ----------
    sims : xarray.Dataset
        Made by `simulate`.
    exposures : pandas.DataFrame or mapping of str to pandas.DataFrame
        Tables of `exposure` by output, or one table with a column ``output``.
    folder : str or Path
        New, empty, or an earlier run, which is replaced.
    provenance : mapping
        What provenance.json holds: command, seed, versions, inputs. The page also uses ``title``, ``quick``,
        ``synthetic``, and ``schedules``: by name a mapping with about, remark and source.

    Returns
    -------
    Path
        The folder: simulation.nc, predictions.csv (quantiles over subjects and draws), exposures.csv, figures,
        report.html, provenance.json and log.txt.

    Raises
    ------
    UsageError
        If the folder holds something that no run made.
    """
    with whole_folder(folder, MARK) as part:
        packed = {str(name): {"zlib": True, "complevel": 4} for name in sims.data_vars if name != "failed"}
        sims.to_netcdf(part / SIMULATION, engine="h5netcdf", encoding=packed)
        _bands(sims).to_csv(part / BANDS, index=False)
        table = _joined(exposures)
        if len(table):
            table.to_csv(part / EXPOSURES, index=False)
        _record(part, "simulation", provenance)
        _log(part, "\n\n".join(f"{name}: {text}" for name, text in sims.attrs.items()))
        write_report(part)
    return Path(folder)


def write_score_run(scorer: Scorer, table: pd.DataFrame, folder: str | Path, provenance: Mapping[str, Any]) -> Path:
    """Write the complete run folder of scored patients.

    Parameters
    ----------
    scorer : Scorer
        What scored them.
    table : pandas.DataFrame
        Made by ``Scorer.score``.
    folder : str or Path
        New, empty, or an earlier run, which is replaced.
    provenance : mapping
        What provenance.json holds: command, seed, versions, inputs. The page also uses ``quick`` and ``synthetic``.

    Returns
    -------
    Path
        The folder: scores.csv, summary.csv (parameters), scorer (for ``load_scorer``, without patients), figures,
        report.html, provenance.json and log.txt.

    Raises
    ------
    UsageError
        If the folder holds something that no run made.
    """
    with whole_folder(folder, MARK) as part:
        table.to_csv(part / SCORES, index=False)
        scorer.summary().to_csv(part / "summary.csv", index=False)
        scorer.save(part / SCORER)
        _record(part, "scores", {"notes": list(table.attrs.get("notes", scorer.notes)), **provenance})
        _log(part, str(scorer))
        write_report(part)
    return Path(folder)


def write_responder_run(
    folder: str | Path,
    title: str,
    chapters: Sequence[Chapter],
    provenance: Mapping[str, Any],
    *,
    scorer: Scorer | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
    synthetic: bool = False,
    found: Sequence[str] = (),
    texts: Mapping[str, str] | None = None,
) -> Path:
    """Write the run folder of a prior, an update, a calibration or a design of the responder model.

    Parameters
    ----------
    folder : str or Path
        New, empty, or an earlier run, which is replaced.
    title : str
        Of the page.
    chapters : sequence of Chapter
        What it shows.
    provenance : mapping
        What provenance.json holds: command, seed, versions, inputs.
    scorer : Scorer, optional
        Saved in ``scorer``; then there are also tripod.md, tripod.html and model_card.md.
    tables : mapping of str to DataFrame, optional
        Performance for the checklist: "calibration", "internal", "trials".
    synthetic : bool
        Whether any patient is invented.
    found : sequence of str
        Sentences that come first.
    texts : mapping of str to str, optional
        Further text files by name.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UsageError
        If the folder holds something that no run made.
    """
    with whole_folder(folder, MARK) as part:
        content: dict[str, Any] = {"title": title, "found": list(found), "synthetic": synthetic, **provenance}
        if scorer is not None:
            scorer.save(part / SCORER)
            items = checklist(scorer, tables)
            (part / "tripod.md").write_text(checklist_markdown(items), encoding="utf-8")
            (part / "tripod.html").write_text(checklist_page(items, synthetic=synthetic), encoding="utf-8")
            (part / "model_card.md").write_text(model_card(scorer, tables), encoding="utf-8")
            content["notes"] = list(scorer.notes)
            content["warning"] = "" if scorer.ok else f"NOT RELIABLE: {scorer.check}"
        for name, text in (texts or {}).items():
            (part / name).write_text(text, encoding="utf-8")
        content["sections"] = write_chapters(part, chapters)
        _record(part, "responder", content)
        _log(part, "\n".join([BANNER, title, *found, *([] if scorer is None else [str(scorer)])]))
        write_report(part)
    return Path(folder)


def _record(folder: Path, kind: str, provenance: Mapping[str, Any]) -> None:
    content = {"format": 1, "kind": kind, **provenance}
    (folder / MARK).write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def _log(folder: Path, text: str) -> None:
    (folder / LOG).write_text(text.rstrip() + "\n", encoding="utf-8")


def _joined(exposures: pd.DataFrame | Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table with a column ``output``."""
    if isinstance(exposures, pd.DataFrame):
        if len(exposures) and "output" not in exposures:
            output = exposures.attrs.get("output")
            if not output:
                raise UsageError(
                    "a table of exposures without a column output", hint="{'il10': exposure(sims, 'il10')}"
                )
            return exposures.assign(output=output, above=exposures.attrs.get("above", ""))
        return exposures
    tables = [table.assign(output=name, above=table.attrs.get("above", "")) for name, table in exposures.items()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _bands(sims: xr.Dataset) -> pd.DataFrame:
    """Quantiles over subjects and draws: schedule, output, unit, time, median, lower, upper, lower_50, upper_50."""
    levels = {"lower": 0.025, "lower_50": 0.25, "median": 0.5, "upper_50": 0.75, "upper": 0.975}
    tables = []
    for name in (str(name) for name in sims.data_vars if name != "failed"):
        found = sims[name].quantile(list(levels.values()), ["subject", "draw"], skipna=True)
        for k, schedule in enumerate(sims["schedule"].to_numpy()):
            table = pd.DataFrame(found.isel(schedule=k).transpose("time", "quantile").to_numpy(), columns=list(levels))
            table.insert(0, "time", sims["time"].to_numpy())
            table.insert(0, "unit", sims[name].attrs.get("units", ""))
            table.insert(0, "output", name)
            table.insert(0, "schedule", str(schedule))
            tables.append(table)
    return pd.concat(tables, ignore_index=True)
