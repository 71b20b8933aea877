"""Rows of the tables of a PEtab problem as values."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mscpkpd.errors import DataError, ExpressionError, closest
from mscpkpd.exchange.petab_files import Row
from mscpkpd.expressions import TIME, Expression, parse

__all__ = [
    "PetabCondition",
    "PetabMeasurement",
    "PetabObservable",
    "PetabParameter",
    "conditions",
    "formula",
    "measurements",
    "observables",
    "parameters",
]

Value = float | str  # a number, or the id of a parameter
SCALES = ("lin", "log", "log10")
DISTRIBUTIONS = ("normal", "laplace")


@dataclass(frozen=True)
class PetabParameter:
    """One row of the parameter table.

    Attributes
    ----------
    name : str
        Its id.
    scale : str
        "lin", "log" or "log10": the scale on which it is estimated.
    nominal : float
        Nominal value, on the natural scale, in the unit of the model.
    lower, upper : float or None
        Bounds on the natural scale, in the unit of the model; None where there are none.
    estimated : bool
        Whether it is to be estimated.
    """

    name: str
    scale: str
    nominal: float
    lower: float | None
    upper: float | None
    estimated: bool


@dataclass(frozen=True)
class PetabCondition:
    """One row of the condition table.

    Attributes
    ----------
    name : str
        Its id.
    sets : tuple of (str, float or str)
        Id of a parameter, species or compartment, and the number or parameter that it takes.
    """

    name: str
    sets: tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class PetabObservable:
    """One row of the observable table.

    Attributes
    ----------
    name : str
        Its id.
    formula, noise : str
        What is observed, and the spread of its noise, as written.
    transformation : str
        "lin", "log" or "log10": the scale of the noise.
    distribution : str
        "normal" or "laplace".
    where : str
        File and line.
    """

    name: str
    formula: str
    noise: str
    transformation: str
    distribution: str
    where: str

    def log_density(self, measured: np.ndarray, predicted: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return the log density of measurements.

        Parameters
        ----------
        measured, predicted : array of shape (n,)
            In the unit of the observable.
        spread : array of shape (n,)
            SD, or scale, of the noise: in the unit of the observable, or of its logarithm.
        """
        unit = {"lin": 1.0, "log": 1.0, "log10": math.log(10)}[self.transformation]
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.transformation == "lin":
                away, size = measured - predicted, spread
            else:  # the density is that of the measurement, not of its logarithm
                away, size = (np.log(measured) - np.log(predicted)) / unit, spread * measured * unit
            if self.distribution == "laplace":
                return np.asarray(-np.log(2 * size) - np.abs(away) / spread)
            return np.asarray(-0.5 * np.log(2 * np.pi * size**2) - 0.5 * (away / spread) ** 2)


@dataclass(frozen=True)
class PetabMeasurement:
    """One row of the measurement table.

    Attributes
    ----------
    observable, condition, before : str
        What was measured, under which condition, and after the steady state of which; `before` may be empty.
    time : float
        Time unit of the model; infinity is the steady state.
    value : float
        In the unit of the observable.
    observable_parameters, noise_parameters : tuple of float or str
        Numbers or parameters that take the places in the formulas.
    where : str
        File and line.
    """

    observable: str
    condition: str
    before: str
    time: float
    value: float
    observable_parameters: tuple[Value, ...]
    noise_parameters: tuple[Value, ...]
    where: str


def parameters(rows: tuple[Row, ...]) -> tuple[PetabParameter, ...]:
    """Read the parameter table; `DataError` for a scale or number that is none."""
    found = []
    for row in rows:
        scale = _word(row, "parameterScale", SCALES, "lin")
        nominal = row.number("nominalValue") if row.text("nominalValue") else math.nan
        bounds = [row.number(column) if row.text(column) else None for column in ("lowerBound", "upperBound")]
        if math.isnan(nominal):
            raise DataError("no nominalValue", where=row.where, hint="the value at which to start")
        estimated = row.number("estimate") != 0
        found.append(PetabParameter(_id(row, "parameterId"), scale, nominal, bounds[0], bounds[1], estimated))
    return tuple(found)


def conditions(rows: tuple[Row, ...]) -> tuple[PetabCondition, ...]:
    """Read the condition table; an empty cell or NaN leaves what the model says."""
    found = []
    for row in rows:
        names = [name for name in row.cells if name not in ("conditionId", "conditionName")]
        sets = tuple((name, _value(row.text(name))) for name in names if row.text(name))
        found.append(PetabCondition(_id(row, "conditionId"), sets))
    return tuple(found)


def observables(rows: tuple[Row, ...]) -> tuple[PetabObservable, ...]:
    """Read the observable table; `DataError` for a transformation or distribution that is not known."""
    return tuple(
        PetabObservable(
            _id(row, "observableId"),
            row.text("observableFormula"),
            row.text("noiseFormula"),
            _word(row, "observableTransformation", SCALES, "lin"),
            _word(row, "noiseDistribution", DISTRIBUTIONS, "normal"),
            row.where,
        )
        for row in rows
    )


def measurements(rows: tuple[Row, ...]) -> tuple[PetabMeasurement, ...]:
    """Read the measurement table; `DataError` for a time or value that is no number."""
    return tuple(
        PetabMeasurement(
            _id(row, "observableId"),
            _id(row, "simulationConditionId"),
            row.text("preequilibrationConditionId"),
            row.number("time"),
            row.number("measurement"),
            _values(row.text("observableParameters")),
            _values(row.text("noiseParameters")),
            row.where,
        )
        for row in rows
    )


def _id(row: Row, column: str) -> str:
    text = row.text(column)
    if not text:
        raise DataError(f"no {column}", where=row.where, expected="an id")
    return text


def _word(row: Row, column: str, words: tuple[str, ...], otherwise: str) -> str:
    text = row.text(column) or otherwise
    if text not in words:
        hint = " or ".join(closest(text, words)) or words[0]
        raise DataError(f"{column} '{text}'", where=row.where, expected=f"one of {', '.join(words)}", hint=hint)
    return text


def _value(text: str) -> Value:
    try:
        return float(text)
    except ValueError:
        return text


def _values(text: str) -> tuple[Value, ...]:
    return tuple(_value(part.strip()) for part in text.split(";")) if text else ()


# ---- formulas --------------------------------------------------------------------------------------------------------

LOGARITHMS = {"log10": 10, "log2": 2}


class _Words(ast.NodeTransformer):
    """The words of PEtab as ours."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = {"time": TIME, **names}

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in self.names:
            return node
        return ast.parse(self.names[node.id], mode="eval").body

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.args = [self.visit(argument) for argument in node.args]
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in LOGARITHMS and len(node.args) == 1:
            top = ast.Call(ast.Name(id="log"), node.args, [])
            return ast.BinOp(top, ast.Div(), ast.Call(ast.Name(id="log"), [ast.Constant(LOGARITHMS[name])], []))
        if name == "pow" and len(node.args) == 2:
            return ast.BinOp(node.args[0], ast.Pow(), node.args[1])
        if name == "ln":
            return ast.Call(ast.Name(id="log"), node.args, [])
        return node


def formula(text: str, names: Mapping[str, str], where: str) -> Expression:
    """Read a formula of a PEtab table.

    Parameters
    ----------
    text : str
        As written; ``^`` and ``**`` are powers, ``log`` and ``ln`` natural logarithms.
    names : mapping of str to str
        Formula in our names for each id.
    where : str
        File and line.

    Raises
    ------
    DataError
        If it is not in the language of formulas.
    """
    try:
        top = ast.parse(text.replace("^", "**").strip(), mode="eval").body
        return parse(ast.unparse(_Words(names).visit(top)), where=where)
    except SyntaxError:
        raise DataError(f"'{text}' cannot be read", where=where, expected="a formula") from None
    except ExpressionError as error:
        raise DataError(error.problem, where=where, expected=error.expected, hint=error.hint) from None
