"""R's deSolve: lsoda on a right-hand side in C, as deSolve's manual advises; subjects are a loop in one R process."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sympy
from _posed import TINY, Posed
from sympy.printing.c import C99CodePrinter

NAME = "R deSolve lsoda"

if shutil.which("Rscript") is None:
    raise ImportError("no Rscript on the path")
if subprocess.run(["Rscript", "-e", "library(deSolve)"], capture_output=True, check=False).returncode != 0:  # noqa: S607
    raise ImportError("R has no package deSolve")


def solver(posed: Posed, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Parameters of subjects (n, n_parameters) to outputs (n, n_outputs, n_times); R starts once for all of them."""
    folder = Path(tempfile.mkdtemp(prefix="mscpkpd-desolve-"))
    (folder / "rates.c").write_text(rates_of(posed))
    subprocess.run(["R", "CMD", "SHLIB", "rates.c"], cwd=folder, capture_output=True, check=True)  # noqa: S607
    (folder / "solve.R").write_text(SCRIPT % {"tolerance": tolerance, "states": len(posed.states)})
    table = [(k, t) for k, mine in enumerate(posed.inside) for t in posed.times[mine]]
    np.savetxt(folder / "times.txt", np.array(table))
    np.savetxt(folder / "edges.txt", posed.edges)

    def solve(values: np.ndarray) -> np.ndarray:
        start, *into = posed.entering(values.T)
        given = [np.einsum("kr,rsi->iks", amounts, np.array(into)) for amounts in (posed.bolus, posed.inflow)]
        for name, array in (("values", values), ("start", start.T), ("bolus", given[0]), ("inflow", given[1])):
            np.savetxt(folder / f"{name}.txt", array.reshape(len(values), -1))
        subprocess.run(["Rscript", "solve.R"], cwd=folder, capture_output=True, check=True)  # noqa: S607
        states = np.fromfile(folder / "states.bin").reshape(len(values), len(posed.times), len(posed.states))
        everyone = np.broadcast_to(values.T[..., None], (values.shape[1], *states.shape[:2]))
        return np.moveaxis(posed.outputs(np.moveaxis(states, 2, 0), everyone), 0, 1)

    return solve


def rates_of(posed: Posed) -> str:
    """The right-hand side in C; parameters first, then inflow."""
    names = [*map(str, posed.parameters)]
    given = [f"double {name} = p[{k}];" for k, name in enumerate(names)]
    given += [f"double {symbol} = y[{k}];" for k, symbol in enumerate(posed.states)]
    parts, rest = sympy.cse(posed.rhs, symbols=sympy.numbered_symbols("part_"))
    printer = _Printer()
    lines = [f"double {symbol} = {printer.doprint(part)};" for symbol, part in parts]
    lines += [f"ydot[{k}] = {printer.doprint(e)} + p[{len(names) + k}];" for k, e in enumerate(rest)]
    return SOURCE % {"count": len(names) + len(rest), "tiny": TINY, "body": "\n  ".join([*given, *lines])}


class _Printer(C99CodePrinter):
    """Formulas of C."""

    def _print_Hill(self, call: sympy.Function) -> str:
        return f"hill({', '.join(map(self.doprint, call.args))})"


SOURCE = """#include <R.h>
#include <math.h>
static double p[%(count)d];
void initmod(void (* odeparms)(int *, double *)) { int n = %(count)d; odeparms(&n, p); }
static double hill(double x, double half, double exponent) {
  double ratio = pow(fmax(x, %(tiny)s) / half, exponent);
  return ratio / (1 + ratio);
}
void derivs(int *neq, double *t, double *y, double *ydot, double *yout, int *ip) {
  %(body)s
}
"""

SCRIPT = """library(deSolve)
dyn.load(paste0("rates", .Platform$dynlib.ext))
read <- function(name) as.matrix(read.table(paste0(name, ".txt")))
values <- read("values"); start <- read("start"); bolus <- read("bolus"); inflow <- read("inflow")
times <- read("times"); edges <- scan("edges.txt", quiet = TRUE)
n <- %(states)d; segments <- length(edges) - 1
out <- file("states.bin", "wb")
for (i in seq_len(nrow(values))) {
  y <- start[i, ]
  for (k in seq_len(segments)) {
    mine <- times[times[, 1] == k - 1, 2]
    y <- y + bolus[i, (k - 1) * n + 1:n]
    at <- unique(c(edges[k], mine, edges[k + 1]))
    path <- lsoda(y, at, "derivs", c(values[i, ], inflow[i, (k - 1) * n + 1:n]), rtol = %(tolerance)g,
                  atol = %(tolerance)g, dllname = "rates", initfunc = "initmod", maxsteps = 1e5)
    writeBin(as.vector(t(path[match(mine, at), -1, drop = FALSE])), out)
    y <- path[length(at), -1]
  }
}
close(out)
"""
