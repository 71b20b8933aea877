"""``[chains]``: states in series, written once, as the states, rates and sums that they stand for.

A row such as ``lung = { stages = 3, unit = "cells", rate = "stages*k_L", in = "k_B*blood" }`` becomes, before anything
is checked, the states ``lung_1`` to ``lung_3`` with their rates, and the derived quantities ``lung``, their sum, and
``lung_out``, what leaves the last of them. It is a change of the raw tables: the rest of the package knows no chains.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from mscpkpd.errors import UnknownName
from mscpkpd.expressions import TIME, Expression, check_name, check_unit, parse
from mscpkpd.expressions.language import tree
from mscpkpd.model import Model
from mscpkpd.modelfile.findings import ROWS, Findings
from mscpkpd.modelfile.library import Table
from mscpkpd.units import parse_unit

__all__ = ["CHAIN_KEYS", "Chain", "check_chains", "expand", "resize"]

CHAIN_KEYS = ("stages", "unit", "rate", "in", "about")
MOST_STAGES = 100
STAGES = re.compile(r"\bstages\b", re.ASCII)
ROW = ROWS["chains"]


@dataclass(frozen=True)
class Chain:
    """States in series.

    Attributes
    ----------
    name : str
        Name of their sum.
    stages : int
        How many.
    unit, about : str
        Of each of them.
    rate : Expression
        Fraction that leaves each stage per unit of time; the word ``stages`` is their number already.
    inflow : Expression or None
        What enters the first stage per unit of time, besides doses.
    """

    name: str
    stages: int
    unit: str
    rate: Expression
    inflow: Expression | None
    about: str

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the stages."""
        return tuple(f"{self.name}_{number}" for number in range(1, self.stages + 1))

    @property
    def state_rows(self) -> Table:
        """The rows of ``[states]``."""
        text = f"{self.about}, stage" if self.about else "Stage"
        return {
            state: {"unit": self.unit, "about": f"{text} {number} of {self.stages}"}
            for number, state in enumerate(self.states, 1)
        }

    @property
    def rate_rows(self) -> Table:
        """The rows of ``[rates]``."""
        losses = [self.outflow(state) for state in self.states]
        gains = [str(self.inflow) if self.inflow else "", *losses]
        return {
            state: f"{gain} - {loss}" if gain else f"-{loss}"
            for state, gain, loss in zip(self.states, gains, losses, strict=False)
        }

    def derived_rows(self, per_time: str) -> Table:
        """The rows of ``[derived]``: the sum of the stages, and what leaves the last one, in unit `per_time`."""
        last = self.outflow(self.states[-1])
        return {
            self.name: {"is": " + ".join(self.states), "unit": self.unit, "about": self.about},
            f"{self.name}_out": {"is": last, "unit": per_time, "about": f"What leaves the last stage of {self.name}"},
        }

    def outflow(self, state: str) -> str:
        """Return the formula of what leaves a stage; a sum needs parentheses, a product does not."""
        rate = str(self.rate)
        top = tree(rate)
        is_sum = isinstance(top, ast.UnaryOp) or (isinstance(top, ast.BinOp) and isinstance(top.op, ast.Add | ast.Sub))
        return f"({rate})*{state}" if is_sum else f"{rate}*{state}"


def resize(raw: Table, stages: Mapping[str, int], findings: Findings) -> None:
    """Give chains another number of stages."""
    rows = raw.get("chains")
    known = tuple(rows) if isinstance(rows, dict) else ()
    for name, number in stages.items():
        if isinstance(rows, dict) and isinstance(rows.get(name), dict):
            rows[name] = {**rows[name], "stages": number}
        elif known:
            findings.found.append(UnknownName.among("chain", name, known, where="stages"))
        else:
            findings.add(f"'{name}' is no chain: the model has none", "stages", hint=f"[chains] with {name} = {ROW}")


def expand(raw: Table, findings: Findings) -> tuple[Chain, ...]:
    """Replace ``[chains]`` by the rows that it stands for.

    Parameters
    ----------
    raw : dict
        Content of a model file; it is changed.
    findings : Findings
        Takes what is wrong.

    Returns
    -------
    tuple of Chain
        In file order.
    """
    read = [_read(name, row, findings, where) for name, row, where in findings.rows(raw, "chains")]
    chains = tuple(chain for chain in read if chain is not None)
    per_time = "" if _is_unitless(raw) else f"/{raw.get('time', 'h')}"
    raw.pop("chains", None)
    for chain in chains:
        derived = chain.derived_rows(f"{chain.unit}{per_time}")
        _find_taken(raw, chain, (*chain.states, *derived), findings)
        _put(raw, "states", chain.state_rows, chain.name)
        _put(raw, "rates", chain.rate_rows, chain.name)
        _put(raw, "derived", derived, chain.name)
        _lead_routes(raw, chain, findings)
        if isinstance(listed := raw.get("conserved"), list):
            raw["conserved"] = [state for name in listed for state in (chain.states if name == chain.name else [name])]
    return chains


def _read(name: str, row: Table, findings: Findings, where: str) -> Chain | None:
    before = len(findings.found)
    findings.attempt(lambda: check_name(name, "[chains]"))
    findings.keys(row, CHAIN_KEYS, where)
    for key in ("stages", "unit", "rate"):
        if key not in row:
            findings.add(f"no {key}", where, expected="stages, unit and rate", hint=f"{name} = {ROW}")
    stages = _stages(row, findings, where)
    formulas = {key: _formula(row[key], stages, findings, f"{where}, {key}") for key in ("rate", "in") if key in row}
    unit, about = findings.text(row, "unit", where, "1"), findings.text(row, "about", where)
    findings.attempt(lambda: parse_unit(unit, where))
    rate = formulas.get("rate")
    if rate is None or len(findings.found) > before:
        return None
    return Chain(name, stages, unit, rate, formulas.get("in"), about)


def _stages(row: Table, findings: Findings, where: str) -> int:
    number = row.get("stages", 1)
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= MOST_STAGES:
        return number
    findings.add(f"stages is {number!r}", where, expected=f"a whole number from 1 to {MOST_STAGES}", hint="stages = 4")
    return 1


def _formula(text: Any, stages: int, findings: Findings, where: str) -> Expression | None:
    """Read a formula of a chain on its own, so that it cannot end in the middle of a rate."""
    written = STAGES.sub(str(stages), text) if isinstance(text, str) else text
    return findings.attempt(lambda: parse(written, where))


def _is_unitless(raw: Table) -> bool:
    """Whether unit "1" throughout switches the check of units off."""
    tables = [raw.get(table) for table in ("parameters", "states", "chains", "derived", "outputs")]
    rows = [row for table in tables if isinstance(table, dict) for row in table.values()]
    return all(isinstance(row, dict) and row.get("unit") == "1" for row in rows)


def _find_taken(raw: Table, chain: Chain, new: Iterable[str], findings: Findings) -> None:
    """A name that a chain makes stands nowhere else, but for the single state that the chain replaces."""
    tables = {table: rows for table in ("states", "rates", "derived") if isinstance(rows := raw.get(table), dict)}
    for name in new:
        taken = [table for table in tables if name in tables[table] and (table == "derived" or name != chain.name)]
        if taken:
            problem = f"the chain makes '{name}', which stands in [{taken[0]}] too"
            hint = f'another name for one of them; without = ["{taken[0]}.{name}"] in a file that extends a model'
            findings.add(problem, f"[chains].{chain.name}", hint=hint)


def _put(raw: Table, table: str, new: Table, replaced: str) -> None:
    """Put rows where the single state stood that they replace, else at the end of a table."""
    rows = raw.setdefault(table, {})
    if not isinstance(rows, dict):
        return  # said where the table is read
    if replaced in rows:
        pieces = (new if name == replaced else {name: row} for name, row in rows.items())
        raw[table] = {name: row for piece in pieces for name, row in piece.items()}
    else:
        raw[table] = {**rows, **new}


def _lead_routes(raw: Table, chain: Chain, findings: Findings) -> None:
    """A dose into a chain goes into its first stage."""
    first = chain.states[0]
    routes = raw.get("routes")
    for name, row in routes.items() if isinstance(routes, dict) else ():
        into = row.get("into") if isinstance(row, dict) else None
        if not isinstance(into, dict) or chain.name not in into:
            continue
        if first in into:
            hint = f"'{first}' alone"
            findings.add(f"'{chain.name}' and '{first}' are the same state", f"[routes].{name}, into", hint=hint)
        row["into"] = {first if state == chain.name else state: share for state, share in into.items()}


def check_chains(chains: Iterable[Chain], model: Model, findings: Findings) -> None:
    """Check names and units of the formulas of chains where they were written, not once for each stage."""
    known = {TIME, *model.parameter_names, *model.state_names, *(row.name for row in model.derived)}
    unitless = {unit for name, unit in model.units.items() if name != TIME} == {"1"}
    for chain in chains:
        formulas = (("rate", chain.rate, f"1/{model.time}"), ("in", chain.inflow, f"{chain.unit}/{model.time}"))
        for key, formula, unit in formulas:
            where = f"[chains].{chain.name}, {key}"
            unknown = sorted(formula.names - known) if formula else []
            findings.found += [UnknownName.among("name", name, known, where=where) for name in unknown]
            if formula and not unknown and not unitless:
                findings.attempt(partial(check_unit, formula, model.units, unit, where, key))
