"""Outputs made for rows that observe something else of an output than its value: its half-life, its value by a method.

Such an output has a unit and a noise of its own, so that all that works row by row works for it, too. It is named
``lung_cells__half_life``, predicts what the output predicts, and is no part of a saved model file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from mscpkpd.errors import ModelError
from mscpkpd.expressions import Expression, parse
from mscpkpd.model.description import Model
from mscpkpd.model.rows import Output, State
from mscpkpd.noise import Noise
from mscpkpd.units import same_dimension, scale_factor

__all__ = ["as_described", "biased_by", "made_name", "observed_as"]

SEPARATOR = "__"
CUMULATIVE = f"{SEPARATOR}cumulative"
OWN_NOISE = ("share", "recovery", "peak", "difference")  # which take the noise of the output where they have none
HAZARDS = ("alive", "event_time")


def made_name(output: str, what: str) -> str:
    """Name of the output that is made for a quantity, or for a method that is biased."""
    return output + SEPARATOR + re.sub(r"\W+", "_", what, flags=re.ASCII)


def biased_by(output: Output, method: str) -> str:
    """Return the parameter that values of a method are too large by; blank where the output declares none (Q6)."""
    return next((factor for name, factor in output.bias if name.casefold() == method.casefold()), "")


def observed_as(model: Model, wanted: Iterable[tuple[str, str, str]]) -> Model:
    """Return the model with outputs for what rows observe.

    Parameters
    ----------
    model : Model
    wanted : iterable of (str, str, str)
        Output, and a quantity or, where that is blank, a method that is biased.

    Returns
    -------
    Model
        The same one where nothing has to be made.

    Raises
    ------
    ModelError
        If an output is neither a hazard nor a cumulative hazard where rows tell who is alive.
    """
    made: dict[str, Output] = {}
    states: dict[str, tuple[State, Expression]] = {}
    for name, quantity, method in wanted:
        output, known = model.output(name), made_name(name, quantity or method)
        if known in model.output_names or known in made:
            continue
        if not quantity:
            text = f"{biased_by(output, method)}*({output.expression})"
            made[known] = replace(output, name=known, expression=parse(text), method=method, of=name, bias=())
            continue
        expression = output.expression
        if quantity in HAZARDS and not same_dimension(output.unit, "1"):
            state, expression = name + CUMULATIVE, parse(name + CUMULATIVE)
            if state not in model.state_names:
                states[state] = _integrated(model, output, state)
        made[known] = replace(
            output, name=known, expression=expression, unit=_unit(model, output, quantity),
            noise=_noise(output, quantity), bias=(), of=name, quantity=quantity, blq="M3",
        )  # fmt: skip
    if not made:
        return model
    return replace(
        model,
        states=(*model.states, *(state for state, _ in states.values())),
        rates=(*model.rates, *((name, rate) for name, (_, rate) in states.items())),
        outputs=(*model.outputs, *made.values()),
    )


def as_described(model: Model) -> Model:
    """Return the model without what `observed_as` has made."""
    if not any(output.of for output in model.outputs):
        return model
    ours = {output.of + CUMULATIVE for output in model.outputs if output.of}
    return replace(
        model,
        states=tuple(state for state in model.states if state.name not in ours),
        rates=tuple((name, rate) for name, rate in model.rates if name not in ours),
        outputs=tuple(output for output in model.outputs if not output.of),
    )


def _integrated(model: Model, output: Output, state: str) -> tuple[State, Expression]:
    """The integral of a hazard as a state (Q7)."""
    per_time = f"1/({model.time})"
    if not same_dimension(output.unit, per_time):
        raise ModelError(
            f"output '{output.name}' is in {output.unit}", expected=f"a hazard in {per_time}, or a cumulative one in 1",
            where=f"[outputs].{output.name}", hint="rows 'alive' and 'event_time' need a hazard (Q7)",
        )  # fmt: skip
    factor = scale_factor(output.unit, per_time)
    text = str(output.expression) if factor == 1 else f"{factor!r}*({output.expression})"
    return State(state, "1", f"integral of {output.name}"), parse(text)


def _unit(model: Model, output: Output, quantity: str) -> str:
    if quantity in ("half_life", "peak_time", "event_time"):
        return model.time
    return output.unit if quantity in ("peak", "difference") else "1"


def _noise(output: Output, quantity: str) -> Noise | None:
    own = dict(output.quantities).get(quantity)
    return output.noise if own is None and quantity in OWN_NOISE else own
