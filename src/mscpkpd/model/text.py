"""The readable text of a model: what is assumed first, then equations, outputs and the table of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mscpkpd.expressions import Expression
from mscpkpd.model.rows import Covariance, Derived, Output, Route, State, Variability
from mscpkpd.parameters import Parameter, number_text

__all__ = [
    "assumed_text",
    "derived_text",
    "equations_text",
    "outputs_text",
    "parameters_text",
    "routes_text",
    "spread_text",
]


def assumed_text(parameters: Sequence[Parameter]) -> Iterator[str]:
    """Numbers without a known source: what a reader has to judge."""
    assumed = [row for row in parameters if row.evidence == "assumed"]
    if assumed:
        yield f"\nAssumed numbers ({len(assumed)} of {len(parameters)}): no source known, check them first"
        yield from _aligned((row.name, _quantity(row), _range(row), row.source) for row in assumed)


def equations_text(
    rates: Iterable[tuple[str, Expression]], states: Iterable[State], units: Mapping[str, str], time: str
) -> Iterator[str]:
    """Rates of change with their units, and starting values."""
    yield f"\nEquations, per {time}"
    for state, rate in rates:
        yield f"  d {state}/dt = {rate}    [{units[state]}/{time}]"
    starts = [f"{row.name} = {row.start}" for row in states if row.start is not None]
    if starts:
        yield f"  at time 0: {', '.join(starts)}; all others 0"


def derived_text(derived: Sequence[Derived]) -> Iterator[str]:
    """Derived quantities, their units and meaning."""
    if derived:
        yield "\nDerived"
        yield from _aligned((row.name, f"= {row.expression}", f"[{row.unit}]", row.about) for row in derived)


def routes_text(routes: Sequence[Route]) -> Iterator[str]:
    """What a dose becomes by each route."""
    if routes:
        yield "\nRoutes"
        yield from (f"  {row.name}: {_route(row)}" for row in routes)


def outputs_text(outputs: Sequence[Output]) -> Iterator[str]:
    """Outputs with their units and noise."""
    if outputs:
        yield "\nOutputs"
        yield from _aligned((row.name, f"= {row.expression}", f"[{row.unit}]", _noise(row)) for row in outputs)


def parameters_text(parameters: Sequence[Parameter]) -> Iterator[str]:
    """The table of parameters."""
    yield "\nParameters"
    rows = [(row.name, _quantity(row), str(row.prior), row.evidence, row.about, _source(row)) for row in parameters]
    yield from _aligned([("name", "value", "prior", "evidence", "meaning", "source"), *rows])


def spread_text(variability: Sequence[Variability], covariance: Sequence[Covariance] = ()) -> Iterator[str]:
    """Spread of parameters over subjects and other levels."""
    if variability:
        yield "\nVariability, SD on the transformed scale"
        for row in variability:
            shape = f", {row.shape}" if row.shape else ""
            prior = f", prior of the SD {row.prior}" if row.prior else ""
            yield f"  {row.parameter}: {number_text(row.sd)} between {_many(row.level)}{shape}{prior} ({row.evidence})"
        for each in covariance:
            found = (f", {a} with {b} {number_text(r)}" for a, b, r in each.correlations)
            yield f"  covariance between {_many(each.level)}: {each.form}{''.join(found)}"


def _many(level: str) -> str:
    return {"study": "studies", "species": "species"}.get(level, f"{level}s")


def _quantity(row: Parameter) -> str:
    off = " (off)" if row.is_off else ""
    return f"{number_text(row.value)}{'' if row.unit == '1' else ' ' + row.unit}{off}"


def _source(row: Parameter) -> str:
    return f"{row.source}; {row.note}" if row.note else row.source


def _range(row: Parameter) -> str:
    if row.low is None or row.high is None:
        return ""
    return f"{number_text(row.low)} to {number_text(row.high)}"


def _noise(row: Output) -> str:
    return str(row.noise) if row.noise is not None else "no noise: cannot be fitted"


def _route(row: Route) -> str:
    parts = ", ".join(f"{state} {fraction}" for state, fraction in row.into)
    keys = {"viable": row.viable, "lag": row.lag, "duration": row.duration, "rate": row.rate}
    extras = ", ".join(f"{key} {value}" for key, value in keys.items() if value is not None)
    return f"{parts}; {extras}" if extras else parts


def _aligned(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Align the columns of a table; the last one runs free."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)][:-1]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  " + "  ".join([*cells, row[-1]]).rstrip()
