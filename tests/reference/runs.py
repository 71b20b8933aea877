"""One call for what an engine test asks: states, outputs and slopes by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mscpkpd.engine.solve import Trajectory, solve
from mscpkpd.engine.system import System, build_system
from mscpkpd.units import to_unit


@dataclass(frozen=True)
class Run:
    """A solved system; arrays of shape (n_times,) by name."""

    system: System
    path: Trajectory
    values: np.ndarray
    by: tuple[str, ...]

    def __getitem__(self, name):
        """A state that was kept, or an output that was asked for; a failed solve has neither."""
        assert self.path.ok, self.path.failure
        if name in self.system.states:
            return self.path.states[self.system.states.index(name)]
        if name not in self.system.outputs:
            return np.zeros_like(self.path.times)  # left out: it stays empty, or nothing depends on it
        shape = self.path.times.shape
        made = self.system.observed_function.value(*self.path.states, *self.values, self.path.times, shape=shape)
        return made[self.system.outputs.index(name)]

    def slope(self, state, parameter):
        """Derivative of a state by a parameter."""
        return self.path.sensitivities[self.system.states.index(state), :, self.by.index(parameter)]


def run(model, regimen, times, asked=None, *, by=(), values=None, **options):
    """Solve what `asked` needs (all states by default), with slopes by the parameters `by`."""
    routes = {*model.route_names, *regimen.routes}  # one system for all regimens, compiled once
    system = build_system(model, tuple(asked or model.state_names), tuple(sorted(routes)))
    chosen = {**model.values, **(values or {})}
    numbers = np.array([chosen[name] for name in system.parameters])
    free = tuple(system.parameters.index(name) for name in by)
    options.setdefault("hours", to_unit(f"1 {model.time}", "h"))
    return Run(
        system, solve(system, regimen, np.asarray(times, float), numbers, free=free, **options), numbers, tuple(by)
    )
