"""Stan through PyStan: ``ode_bdf_tol`` with forward sensitivities.

The program is generated from the problem. Gradients are timed inside the compiled module, without PyStan's server.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpstan.models
import numpy as np
import sympy
from _density import Density
from _posed import TINY
from sympy.printing.c import C99CodePrinter

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyStan asks for a module that setuptools is about to drop
    import stan

NAME = "Stan ode_bdf"


def gradient(density: Density, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Coordinates (n,) to the gradient of the log density (n,)."""
    data = data_of(density, tolerance)
    name = built(density, data).model_name
    evaluate = httpstan.models.import_services_extension_module(name).log_prob_grad
    return lambda z: np.array(evaluate(data, z.tolist(), True))


slopes = gradient  # what shows how exact its draws are


def sample(
    density: Density, tolerance: float, *, draws: int, tune: int, chains: int, seed: int
) -> tuple[np.ndarray, float]:
    """Draws of the coordinates (chains, draws, n) by Stan's own NUTS, and the seconds that it took."""
    model = built(density, data_of(density, tolerance), seed)
    begin = time.perf_counter()
    with _silence():
        fit = model.sample(
            num_chains=chains, num_warmup=tune, num_samples=draws, init=[{"z": density.z0.tolist()}] * chains
        )
    took = time.perf_counter() - begin
    return np.moveaxis(fit["z"].reshape(-1, draws, chains), (0, 1, 2), (2, 1, 0)), took


def built(density: Density, data: dict[str, Any], seed: int | None = None) -> Any:
    """Compile the program of a density, or find it compiled; PyStan's model of these data."""
    with _silence():
        return stan.build(program(density), data=data, random_seed=seed)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The compiler of C++ warns at length about Stan's own headers, and speaks past Python."""
    with Path(os.devnull).open("w") as nowhere:
        kept = os.dup(1), os.dup(2)
        try:
            for stream in (1, 2):
                os.dup2(nowhere.fileno(), stream)
            yield
        finally:
            for stream, old in zip((1, 2), kept, strict=True):
                os.dup2(old, stream)
                os.close(old)


def data_of(density: Density, tolerance: float) -> dict[str, Any]:
    """The data block of `program`."""
    posed, (mean, sd) = density.posed, density.moments
    first = [posed.times[mine][:1] == begin for mine, begin in zip(posed.inside, posed.edges, strict=False)]
    return {
        "D": len(mean), "N": len(density.data), "T": len(posed.times), "K": len(posed.bolus),
        "R": posed.bolus.shape[1], "V": len(density.varied), "mean": mean.tolist(), "sd": sd.tolist(),
        "where": [density.free.index(name) + 1 for name in density.varied], "times": posed.times.tolist(),
        "edges": posed.edges.tolist(), "bolus": posed.bolus.tolist(), "inflow": posed.inflow.tolist(),
        "count": [len(mine) for mine in posed.inside], "at_begin": [int(np.any(each)) for each in first],
        "seen": density.data.tolist(), "fixed": _fixed(density)[1], "tolerance": tolerance,
    }  # fmt: skip


def program(density: Density) -> str:
    """The program: equations as functions, the rest the same for all problems."""
    posed = density.posed
    states, free, fixed = posed.system.states, density.free, _fixed(density)[0]
    given = [f"real {_name(n)} = {vector}[{k}];" for names, vector in ((free, "theta"), (fixed, "fixed"))
             for k, n in enumerate(names, start=1)]  # fmt: skip
    local = [f"real {_name(n)} = y[{k}];" for k, n in enumerate(states, start=1)]
    entering = [f"out[{j}, {i}]" for i in range(1, len(posed.into) + 2) for j in range(1, len(states) + 1)]
    infused = "+ entering(theta, fixed)[, 2:] * inflow" if np.any(posed.inflow) else ""
    return PROGRAM % {
        "S": len(states), "F": len(free), "O": len(posed.observed), "X": len(fixed), "E": len(posed.into) + 1,
        "P": len(density.noise), "tiny": TINY, "infused": infused,
        "rates": _body([*given, *local], [f"d[{k}]" for k in range(1, len(states) + 1)], posed.rhs),
        "entering": _body(given, entering, [e for row in (posed.start, *posed.into) for e in row]),
        "observed": _body([*given, *local], [f"out[{k}]" for k in range(1, len(posed.observed) + 1)], posed.observed),
        "natural": _lines(f"theta[{k}] = {NATURAL[density.priors[k - 1].transform]}(own[{k}]);"
                          for k in range(1, len(free) + 1)),
        "likelihood": _lines(_likelihood(density, k, name) for k, name in enumerate(posed.system.outputs)),
    }  # fmt: skip


NATURAL = {"log": "exp", "logit": "inv_logit", "identity": ""}


def _likelihood(density: Density, k: int, output: str) -> str:
    kind, parameter = density.noise_of(output)
    sd = f"exp(z[{len(density.free) + density.noise.index(parameter) + 1}])"
    found, seen = f"found[{k + 1}]", f"to_row_vector(seen[n, {k + 1}])"
    if kind == "lognormal":
        return f"target += normal_lupdf(log({seen}) | log({found}), {sd});"
    return f"target += normal_lupdf({seen} | {found}, {sd} * {found});"


def _fixed(density: Density) -> tuple[list[str], list[float]]:
    """Names and values of the parameters that are not learned; at least one, because Stan wants no empty function."""
    system = density.posed.system
    pairs = [(n, v) for n, v in zip(system.parameters, system.nominal, strict=True) if n not in density.free]
    return [name for name, _ in pairs], [value for _, value in pairs]


def _body(given: Iterable[str], targets: Iterable[str], expressions: Iterable[sympy.Expr]) -> str:
    """Assignments with common parts written once; names that are not used are left out."""
    parts, rest = sympy.cse(_renamed(list(expressions)), symbols=sympy.numbered_symbols("part"))
    printer = _Printer()
    lines = [f"real {symbol} = {printer.doprint(part)};" for symbol, part in parts]
    lines += [f"{target} = {printer.doprint(e)};" for target, e in zip(targets, rest, strict=True)]
    used = {str(s) for e in (*rest, *(part for _, part in parts)) for s in e.free_symbols}
    return _lines([*(line for line in given if line.split()[1] in used), *lines])


def _renamed(expressions: list[sympy.Expr]) -> list[sympy.Expr]:
    return [e.xreplace({s: sympy.Symbol(_name(str(s)), real=True) for s in e.free_symbols}) for e in expressions]


def _name(name: str) -> str:
    return f"{name}_of_model"  # no word of the language has this ending


def _lines(lines: Iterable[str]) -> str:
    return "\n    ".join(lines)


class _Printer(C99CodePrinter):
    """Formulas of Stan."""

    def _print_Hill(self, call: sympy.Function) -> str:
        return f"hill({', '.join(map(self.doprint, call.args))})"


PROGRAM = """
functions {
  real hill(real x, real half, real exponent) {
    real ratio = pow(fmax(x, %(tiny)s) / half, exponent);
    return ratio / (1 + ratio);
  }
  matrix entering(vector theta, data vector fixed) {
    matrix[%(S)d, %(E)d] out;
    %(entering)s
    return out;
  }
  vector rates(real t, vector y, vector theta, data vector fixed, data vector inflow) {
    vector[%(S)d] d;
    %(rates)s
    return d %(infused)s;
  }
  vector observed(vector y, vector theta, data vector fixed) {
    vector[%(O)d] out;
    %(observed)s
    return out;
  }
}
data {
  int D; int N; int T; int K; int R; int V;
  vector[D] mean;
  vector[D] sd;
  array[V] int where;
  array[T] real times;
  array[K + 1] real edges;
  array[K] vector[R] bolus;
  array[K] vector[R] inflow;
  array[K] int count;
  array[K] int at_begin;
  array[N, %(O)d, T] real seen;
  vector[%(X)d] fixed;
  real tolerance;
}
parameters {
  vector[D] z;
}
model {
  target += normal_lupdf(z | mean, sd);
  for (n in 1:N) {
    vector[%(F)d] own = z[1:%(F)d];
    vector[%(F)d] theta;
    matrix[%(O)d, T] found;
    int done = 0;
    for (v in 1:V)
      own[where[v]] += exp(z[%(F)d + %(P)d + v]) * z[%(F)d + %(P)d + V + (n - 1) * V + v];
    %(natural)s
    matrix[%(S)d, R + 1] doses = entering(theta, fixed);
    vector[%(S)d] y = doses[, 1];
    for (k in 1:K) {
      int last = k == K;
      int n_solved = count[k] - at_begin[k] + 1 - last;
      y += doses[, 2:] * bolus[k];
      if (at_begin[k]) {
        done += 1;
        found[, done] = observed(y, theta, fixed);
      }
      if (n_solved > 0) {
        array[n_solved] real at;
        array[n_solved] vector[%(S)d] path;
        for (i in 1:n_solved - 1 + last) at[i] = times[done + i];
        if (!last) at[n_solved] = edges[k + 1];
        path = ode_bdf_tol(rates, y, edges[k], at, tolerance, tolerance, 100000, theta, fixed, inflow[k]);
        for (i in 1:n_solved - 1 + last) found[, done + i] = observed(path[i], theta, fixed);
        done += n_solved - 1 + last;
        y = path[n_solved];
      }
    }
    %(likelihood)s
  }
}
"""
