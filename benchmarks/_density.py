"""One log density as everybody gets it: priors, noise and made-up data of subjects, on an unbounded scale.

The coordinates z are, in this order: the free parameters on the scales of their priors, where all of these are normal;
the logarithms of the noise parameters; and where parameters vary between subjects, the logarithms of their standard
deviations and, for each subject, their standard normal deviations from the population.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from _posed import Posed

from mscpkpd.parameters import Prior

SPREAD = Prior("lognormal", (0.3, 0.5))  # prior of the SD of a parameter between subjects
NORMAL_SOMEWHERE = ("lognormal", "logitnormal", "normal")


@dataclass(frozen=True, eq=False)
class Density:
    """A log density.

    Attributes
    ----------
    posed : Posed
    free : tuple of str
        Parameters of the system that are learned.
    varied : tuple of str
        Those of them that vary between subjects.
    data : array of shape (n_subjects, n_outputs, n_times)
        Observations, in the units of the outputs.
    """

    posed: Posed
    free: tuple[str, ...]
    varied: tuple[str, ...]
    data: np.ndarray

    @cached_property
    def noise(self) -> tuple[str, ...]:
        """Names of the noise parameters."""
        return tuple(dict.fromkeys(self.noise_of(name)[1] for name in self.posed.system.outputs))

    def noise_of(self, output: str) -> tuple[str, str]:
        """Kind of noise of an output, and the parameter of it."""
        noise = self.posed.model.output(output).noise
        if noise is None or noise.kind not in ("lognormal", "proportional"):
            raise ValueError(f"noise of {output}: {noise}")
        return noise.kind, str(noise.args[0])

    @cached_property
    def priors(self) -> tuple[Prior, ...]:
        """Of the coordinates that are no deviations."""
        found = tuple(self.posed.model.parameter(name).prior for name in (*self.free, *self.noise))
        if any(prior.family not in NORMAL_SOMEWHERE for prior in found):
            raise ValueError("a prior that is not normal on its own scale")
        return (*found, *(SPREAD for _ in self.varied))

    @cached_property
    def moments(self) -> np.ndarray:
        """Mean and standard deviation of every coordinate under its prior, shape (2, n)."""
        deviations = len(self.data) * len(self.varied)
        known = np.array([prior.free_moments() for prior in self.priors]).T
        return np.concatenate([known, np.repeat([[0.0], [1.0]], deviations, axis=1)], axis=1)

    @cached_property
    def places(self) -> np.ndarray:
        """Positions of the free parameters among those of the system."""
        return np.array([self.posed.system.parameters.index(name) for name in self.free])

    @cached_property
    def z0(self) -> np.ndarray:
        """Where densities are compared: the values of the model, moved a little."""
        names = (*self.free, *self.noise)
        known = [
            float(p.to_free(self.posed.model.parameter(n).value)) for n, p in zip(names, self.priors, strict=False)
        ]
        rest = len(self.moments[0]) - len(known)
        move = np.random.default_rng(1).standard_normal(len(known) + rest)
        return np.concatenate([known, self.moments[0][len(known) :]]) + 0.05 * move

    def coordinates(self, z: Any, xp: Any = np) -> Any:
        """Free parameters of every subject on the scales of their priors, (n_subjects, n_free); `xp` is like NumPy."""
        common = xp.tile(z[: len(self.free)], (len(self.data), 1))
        if not self.varied:
            return common
        spread, deviations = self._between(z)
        return common + (deviations * xp.exp(spread)) @ self._chosen

    def values(self, z: Any, xp: Any = np) -> Any:
        """Parameters of the system for every subject, shape (n_subjects, n_parameters)."""
        own = self.coordinates(z, xp)
        columns = {name: _natural(self.priors[k], own[:, k], xp) for k, name in enumerate(self.free)}
        nominal = zip(self.posed.system.parameters, self.posed.system.nominal, strict=True)
        return xp.stack([columns.get(name, xp.full(len(self.data), value)) for name, value in nominal], axis=1)

    def _between(self, z: Any) -> tuple[Any, Any]:
        """Logarithms of the standard deviations between subjects, and the deviations (n_subjects, n_varied)."""
        begin = len(self.free) + len(self.noise)
        end = begin + len(self.varied)
        return z[begin:end], z[end:].reshape(len(self.data), len(self.varied))

    @cached_property
    def _chosen(self) -> np.ndarray:
        """Which free parameter each deviation moves, shape (n_varied, n_free)."""
        return np.array([[float(one == name) for one in self.free] for name in self.varied])

    def of(self, z: Any, outputs: Any, xp: Any = np) -> Any:
        """Log density of outputs (n_subjects, n_outputs, n_times) and of z, up to a constant."""
        mean, sd = self.moments
        total = -0.5 * xp.sum(((z - mean) / sd) ** 2)
        for k, name in enumerate(self.posed.system.outputs):
            kind, parameter = self.noise_of(name)
            log_sd = z[len(self.free) + self.noise.index(parameter)]
            found, seen = outputs[:, k], self.data[:, k]
            if kind == "lognormal":
                error = (xp.log(found) - np.log(seen)) / xp.exp(log_sd)
                total = total - xp.sum(0.5 * error**2 + log_sd)
            else:
                error = (seen / found - 1.0) / xp.exp(log_sd)
                total = total - xp.sum(0.5 * error**2 + log_sd + xp.log(found))
        return total

    def pull(self, z: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Derivatives of the log density by the outputs, shape (n_subjects, n_outputs, n_times)."""
        found = np.empty_like(outputs)
        for k, (f, error, scale, kind) in enumerate(self._errors(z, outputs)):
            if kind == "lognormal":
                found[:, k] = -error / (scale * f)
            else:
                found[:, k] = -(error / scale * self.data[:, k] / f + 1.0) / f
        return found

    def slope(self, z: np.ndarray, outputs: np.ndarray, pulled: np.ndarray) -> np.ndarray:
        """Gradient of the log density, for solvers that give derivatives of outputs.

        Parameters
        ----------
        z : array of shape (n,)
        outputs : array of shape (n_subjects, n_outputs, n_times)
        pulled : array of shape (n_subjects, n_free)
            `pull` times the derivatives of the outputs by the free parameters of each subject.

        Returns
        -------
        array of shape (n,)
        """
        mean, sd = self.moments
        n = len(self.free)
        found = -(z - mean) / sd**2
        for (_, error, _, _), name in zip(self._errors(z, outputs), self.posed.system.outputs, strict=True):
            found[n + self.noise.index(self.noise_of(name)[1])] += np.sum(error**2 - 1.0)
        columns = zip(self.priors, self.coordinates(z).T, strict=False)
        own = pulled * np.stack([_natural_slope(prior, _natural(prior, x, np)) for prior, x in columns], axis=1)
        found[:n] += own.sum(axis=0)
        if self.varied:
            spread, deviations = self._between(z)
            moved = own @ self._chosen.T * np.exp(spread)
            found[n + len(self.noise) : len(self.priors)] += np.sum(moved * deviations, axis=0)
            found[len(self.priors) :] += moved.ravel()
        return found

    def _errors(self, z: np.ndarray, outputs: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, float, str]]:
        """For each output its values, its errors in standard deviations, the noise parameter and the kind of noise."""
        for k, name in enumerate(self.posed.system.outputs):
            kind, parameter = self.noise_of(name)
            f, seen, scale = (
                outputs[:, k],
                self.data[:, k],
                float(np.exp(z[len(self.free) + self.noise.index(parameter)])),
            )
            yield f, (np.log(f / seen) if kind == "lognormal" else 1.0 - seen / f) / scale, scale, kind


def density(
    posed: Posed,
    solve: Callable[[np.ndarray], np.ndarray],
    *,
    subjects: int = 1,
    varied: tuple[str, ...] = (),
    free: tuple[str, ...] | None = None,
    seed: int = 0,
) -> Density:
    """Make a density with data drawn from the model at its own values.

    Parameters
    ----------
    posed : Posed
    solve : callable
        Parameters of subjects to outputs; draws the data.
    subjects : int
    varied : tuple of str
        Parameters that vary between subjects.
    free : tuple of str, optional
        Parameters to learn; by default all with a prior.
    seed : int
    """
    free = tuple(n for n in free or posed.model.free_names if n in posed.system.parameters)
    shape = (subjects, len(posed.system.outputs), len(posed.times))
    empty = Density(posed, free, varied, np.ones(shape))
    rng = np.random.default_rng(seed)
    z = np.zeros(len(empty.moments[0]))
    z[: len(free)] = [p.to_free(posed.model.parameter(n).value) for n, p in zip(free, empty.priors, strict=False)]
    z[len(free) : len(empty.priors)] = empty.moments[0][len(free) : len(empty.priors)]
    z[len(empty.priors) :] = rng.standard_normal(len(z) - len(empty.priors))
    right = solve(empty.values(z))
    sd = [posed.model.parameter(empty.noise_of(name)[1]).value for name in posed.system.outputs]
    return Density(posed, free, varied, right * np.exp(np.array(sd)[:, None] * rng.standard_normal(shape)))


def _natural(prior: Prior, z: Any, xp: Any) -> Any:
    if prior.transform == "log":
        return xp.exp(z)
    return 1.0 / (1.0 + xp.exp(-z)) if prior.transform == "logit" else z


def _natural_slope(prior: Prior, x: np.ndarray) -> np.ndarray:
    """Derivative of `_natural` where its value is `x`."""
    if prior.transform == "log":
        return x
    return x * (1.0 - x) if prior.transform == "logit" else np.ones_like(x)
