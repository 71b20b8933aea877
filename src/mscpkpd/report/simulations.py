"""The page of a simulation: schedules side by side, exposures, and what each prediction rests on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from mscpkpd.plots import exposure_comparison, save, schedules_side_by_side
from mscpkpd.plots.schedules import METRICS, prediction_title
from mscpkpd.plots.style import Marks
from mscpkpd.report.content import FIGURES, Content, Part, made_with, read_record, settings_table, strong
from mscpkpd.report.html import Column, Html, details, element, gallery, image, joined, paragraph, table
from mscpkpd.rounding import number, span, unit_text

__all__ = ["BANDS", "EXPOSURES", "SIMULATION", "simulation_content"]

SIMULATION, EXPOSURES, BANDS = "simulation.nc", "exposures.csv", "predictions.csv"
MOST_OUTPUTS = 12
READING = (
    "IL-10 is a marker that macrophages have been engaged, not of efficacy. PGE2 is what the cells make, without that "
    "of the host."
)


def simulation_content(folder: Path) -> Content:
    """Draw the figures of a simulation into its folder and say what it found.

    Parameters
    ----------
    folder : Path
        Run folder of a simulation.
    """
    record = read_record(folder)
    with xr.open_dataset(folder / SIMULATION, engine="h5netcdf") as opened:
        sims = opened.load()
    exposures = pd.read_csv(folder / EXPOSURES) if (folder / EXPOSURES).is_file() else pd.DataFrame()
    marks = _marks(sims, record)
    names = [str(name) for name in sims.data_vars if name != "failed"]
    named = set(exposures["output"]) if len(exposures) else set()
    drawn = sorted(names, key=lambda name: name not in named)[:MOST_OUTPUTS] if sims.sizes["time"] > 1 else []
    (folder / FIGURES).mkdir(exist_ok=True)
    parts = [Part("Schedules", _schedules(sims, record))]
    parts += [
        Part(prediction_title(sims, name), _output(sims, name, exposures, folder, marks, record)) for name in drawn
    ]
    left = [name for name in names if name not in drawn]
    if left:
        parts.append(Part("Not drawn", paragraph(f"{BANDS} and {SIMULATION} also hold {', '.join(left)}.")))
    parts.append(Part("How it was made", settings_table({**_plain(sims), **made_with(record)})))
    title = str(record.get("title") or f"Simulated schedules: {sims.attrs.get('model', '')}")
    return Content(title, _found(sims), marks, tuple(parts))


def _marks(sims: xr.Dataset, record: Mapping[str, Any]) -> Marks:
    failures = int(sims.attrs.get("failures", 0))
    total = int(sims["failed"].size)
    warning = f"{failures} of {total} solves failed; the bands leave them out" if failures else ""
    return Marks(synthetic=bool(record.get("synthetic")), quick=bool(record.get("quick")), warning=warning)


def _plain(sims: xr.Dataset) -> dict[str, Any]:
    counts = {str(name): int(size) for name, size in sims.sizes.items()}
    return {**counts, **{str(k): v for k, v in sims.attrs.items() if not str(k).startswith("schedule ")}}


def _found(sims: xr.Dataset) -> tuple[str, ...]:
    schedules = [str(name) for name in sims["schedule"].to_numpy()]
    subjects, draws = sims.sizes["subject"], sims.sizes["draw"]
    start = f"{len(schedules)} {'schedule' if len(schedules) == 1 else 'schedules'}"
    who = "1 subject" if subjects == 1 else f"{subjects} subjects"
    first = (
        f"{start} ({', '.join(schedules)}) for {who} and {draws} {'draw' if draws == 1 else 'draws'} of the parameters "
        f"({sims.attrs.get('parameters', '')})."
    )
    only = [str(name) for name in sims.data_vars if sims[name].attrs.get("prior_only")]
    second = f"Prior only, because the data did not inform what they rest on: {', '.join(only)}." if only else ""
    third = READING if {"il10", "pge2_lung", "pge2_plasma"} & {str(name) for name in sims.data_vars} else ""
    return tuple(sentence for sentence in (first, second, third) if sentence)


def _schedules(sims: xr.Dataset, record: Mapping[str, Any]) -> Html:
    known = record.get("schedules", {})
    rows = [
        {"name": name, "doses": sims.attrs.get(f"schedule {name}", ""), **known.get(name, {})}
        for name in (str(name) for name in sims["schedule"].to_numpy())
    ]
    described = (
        Column("what it is", lambda row: row.get("about", "")),
        Column("how well it is known", lambda row: row.get("remark", "")),
        Column("source", lambda row: element("span", row.get("source", ""), class_="source")),
    )
    columns = (
        Column("schedule", strong("name")),
        *(described if known else ()),
        Column("doses", lambda row: details("doses", element("pre", row["doses"]))),
    )
    return table(rows, columns)


def _output(
    sims: xr.Dataset, name: str, exposures: pd.DataFrame, folder: Path, marks: Marks, record: Mapping[str, Any]
) -> Html:
    remarks = {key: str(about.get("remark", "")) for key, about in record.get("schedules", {}).items()}
    figure = schedules_side_by_side(sims, name, marks=marks, remarks=remarks)
    title = prediction_title(sims, name)
    pictures = [image(save(figure, folder / FIGURES / f"schedules_{name}.png"), f"{title}, by schedule")]
    part = exposures[exposures["output"] == name] if len(exposures) else exposures
    if len(part):
        compared = exposure_comparison(part, name, title=title, marks=marks)
        pictures.append(image(save(compared, folder / FIGURES / f"exposure_{name}.png"), f"Exposure: {title}"))
    return joined(_rests_on(sims, name), gallery(pictures), _exposures(part) if len(part) else "")


def _rests_on(sims: xr.Dataset, name: str) -> Html:
    only, few = sims[name].attrs.get("prior_only"), sims[name].attrs.get("little_learned")
    words: list[object] = []
    if only:
        words += [element("span", "Prior only. ", class_="alert"), f"The data said nothing about {only}. "]
    if few:
        words.append(
            f"The data hardly narrow (learned less than 0.1) {few}; as to these, the prediction is near its prior."
        )
    return paragraph(*words) if words else Html("")


def _exposures(part: pd.DataFrame) -> Html:
    columns = (
        Column("schedule", lambda row: row["schedule"]),
        Column("metric", _metric),
        Column("median", lambda row: number(row["median"]), numeric=True),
        Column("central 95 %", lambda row: span(row["lower"], row["upper"]), numeric=True),
        Column("unit", lambda row: unit_text(row["unit"])),
        Column("paths", lambda row: str(row["n"]), numeric=True),
        Column("failed", lambda row: str(row["failed"]), numeric=True),
    )
    return table(
        part.to_dict("records"), columns, caption="Exposure over the simulated period, subjects and draws together"
    )


def _metric(row: Mapping[Any, Any]) -> str:
    name, level = METRICS.get(row["metric"], str(row["metric"])), row.get("above")
    return f"{name} {level}" if row["metric"] == "time_above" and isinstance(level, str) else name
