"""An independent solver: the text of a model, read by an evaluator of its own, and SciPy's Radau.

It shares nothing with the engine but the text of the formulas: no SymPy, no compiled solver, no selection of states,
no jump conditions. It is slow and plain on purpose.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache

import numpy as np
import pint
from scipy.integrate import solve_ivp

UNITS = pint.UnitRegistry()
UNITS.define("cell = [cells]")
UNITS.define("copies = [copies]")
UNITS.define("photon = [photons]")
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


def hill(x, e, h):
    """The Hill function as it is printed in books, for positive x."""
    return x**h / (x**h + e**h) if x != 0 else 0.0


# NumPy's functions take complex numbers as well, for derivatives by complex steps
STEP = 1e-30  # imaginary, so that nothing cancels
FUNCTIONS = {"exp": np.exp, "log": np.log, "sqrt": np.sqrt, "hill": hill, "abs": abs, "min": min, "max": max}


def python_text(text, units):
    """The formula as Python: `where` becomes a conditional, `to` a factor."""
    return _python(ast.parse(text, mode="eval").body, units)


def _python(node, units):
    match node:
        case ast.Constant(value=value):
            return repr(float(value))
        case ast.Name(id=name):
            return name
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"(-{_python(operand, units)})"
        case ast.BinOp(left=left, op=op, right=right):
            return f"({_python(left, units)} {OPERATORS[type(op)]} {_python(right, units)})"
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return f"({_python(left, units)} {COMPARISONS[type(op)]} {_python(right, units)})"
        case ast.Call(func=ast.Name(id="where"), args=[condition, yes, no]):
            return f"({_python(yes, units)} if {_python(condition, units)} else {_python(no, units)})"
        case ast.Call(func=ast.Name(id="to"), args=[inner, ast.Constant(value=target)]):
            return f"({_factor(inner, target, units)!r} * {_python(inner, units)})"
        case ast.Call(func=ast.Name(id=name), args=args):
            return f"{name}({', '.join(_python(argument, units) for argument in args)})"
    raise TypeError(ast.dump(node))


def _quantity(unit):
    return UNITS.Quantity(1.0, "dimensionless" if unit == "1" else unit.replace("cells", "cell"))


def _factor(inner, target, units):
    """What one unit of `inner` is in `target`, by pint on quantities of one."""
    names = {name: _quantity(unit) for name, unit in units.items()}
    quantity = eval(compile(ast.Expression(inner), "", "eval"), {"__builtins__": {}}, names)  # noqa: S307 - a unit
    return float(UNITS.Quantity(1.0, quantity.units).to(target.replace("cells", "cell")).magnitude)


@cache
def compiled(model, asked: tuple[str, ...]):
    """A function of (t, states, values, viable) to the numbers of the `asked` formulas, derived quantities included."""
    units = dict(model.units)
    lines = [f"    {', '.join(model.state_names)}, = y"] if model.states else []
    lines += [f"    {name} = p[{name!r}]" for name in model.parameter_names]
    lines += [f"    {row.name} = {python_text(str(row.expression), units)}" for row in model.derived_in_order]
    lines += [f"    return [{', '.join(python_text(text, units) for text in asked)}]"]
    space = dict(FUNCTIONS)
    exec("def f(t, y, p, viable=1.0):\n" + "\n".join(lines), space)  # noqa: S102 - text of a checked model
    return space["f"]


def outputs(model, names, times, states, values) -> np.ndarray:
    """Values of outputs or states, shape (n_names, n_times)."""
    texts = tuple(str(model.output(n).expression) if n in model.output_names else n for n in names)
    f = compiled(model, texts)
    return np.array([f(t, y, values) for t, y in zip(times, states.T, strict=True)]).T


def events(model, regimen, values, *, weight=None):
    """Jumps and infusion rates: (time, jump per state, change of rate per state), in the model's time unit."""
    hour = 1.0 / UNITS.Quantity(1.0, model.time).to("h").magnitude
    found = []
    zero = np.zeros(len(model.states))
    for dose in regimen.doses:
        amount = dose.amount * (weight if dose.unit.endswith("/kg") else 1.0) * _dose_factor(model, dose)
        into, lag, length = _entry(model, dose, amount, values)
        start = dose.time * hour + lag
        length = dose.duration * hour if dose.duration else length
        if length == 0:
            found.append((start, into, zero))
        else:
            found += [(start, zero, into / length), (start + length, zero, -into / length)]
    return sorted(found, key=lambda event: event[0])


def _dose_factor(model, dose):
    """From the unit of a dose to what the shares of its route, or the state it enters, count in."""
    rows = {row.name: row for row in model.routes}
    state, share = rows[dose.route].into[0] if dose.route in rows else (dose.route, "1")
    wanted = _quantity(model.units[state])
    # any number that no share cancels: 1 - viable must not be 0
    names = {name: 0.3701 * _quantity(unit) for name, unit in {**model.units, "viable": "1"}.items()}
    inner = ast.parse(str(share), mode="eval")
    if any(isinstance(node, ast.Name) for node in ast.walk(inner)):
        wanted = wanted / eval(compile(inner, "", "eval"), {"__builtins__": {}}, names)  # noqa: S307 - a unit
    given = _quantity(dose.unit.removesuffix("/kg"))
    if wanted.dimensionless:
        return 1.0
    return float((given / (1.0 * wanted.units)).to("dimensionless").magnitude)


def _entry(model, dose, amount, values):
    """Amount per state, lag and modelled length of a dose (E5 to E13)."""
    rows = {row.name: row for row in model.routes}
    if dose.route not in rows:
        return amount * np.array([float(name == dose.route) for name in model.state_names]), 0.0, 0.0
    row = rows[dose.route]
    viable = dose.viable if dose.viable is not None else values[row.viable] if row.viable else 1.0
    shares = {name: str(formula) for name, formula in row.into}
    asked = tuple(shares.get(name, "0") for name in model.state_names)
    start = [0.0] * len(model.states)
    f = compiled(model, asked)
    into = amount * np.array(f(0.0, start, values, viable))
    lag = compiled(model, (str(row.lag),))(0.0, start, values)[0] if row.lag is not None else 0.0
    if row.duration is not None:
        return into, lag, compiled(model, (str(row.duration),))(0.0, start, values)[0]
    if row.rate is not None:
        rate = compiled(model, (str(row.rate),))(0.0, start, values)[0]
        return into, lag, amount * sum(f(0.0, start, values, 1.0)) / rate
    return into, lag, 0.0


def solve(model, regimen, times, values=None, *, by=None, weight=None, rtol=1e-11, breaks=()):
    """States at sorted times, shape (n_states, n_times); a time of a dose is after it (E4).

    With `by`, the name of a parameter, states and their derivatives: the variational equations are solved beside the
    states, and their right-hand side is an imaginary step of that of the states, exact to the last digit.
    `breaks` are times at which a right-hand side switches: the solver starts anew there.
    """
    values, times = {**model.values, **(values or {})}, np.asarray(list(times), float)
    typical = None
    if by is not None:
        # the size of a slope, for an absolute tolerance: what the parameter as a whole could explain of its state
        plain = solve(model, regimen, times, values, weight=weight, rtol=1e-6, breaks=breaks)
        typical = np.max(np.abs(plain), axis=1) / max(abs(values[by]), 1e-6)
        values[by] = complex(values[by], STEP)
    first = compiled(model, tuple(str(state.start or "0") for state in model.states))
    state = np.array(first(0.0, [0.0] * len(model.states), values), complex)
    rate = np.zeros_like(state)
    changes = events(model, regimen, values, weight=weight)
    entering = [np.max(np.abs(part)) for _, jump, more in changes for part in (jump, more)]
    size = max([*entering, np.max(np.abs(state), initial=0.0), 1e-300])
    stops = sorted({0.0, *(change[0] for change in changes), *breaks, times[-1]})
    found = np.full((len(state), len(times)), np.nan, complex)
    for begin, end in zip(stops, [*stops[1:], np.inf], strict=True):
        for time, jump, more in changes:
            if time == begin:
                state, rate = state + jump, rate + more
        rate = np.where(np.abs(rate) < 1e-12 * size, 0.0, rate)
        found[:, times == begin] = state[:, None]
        if begin >= times[-1]:
            break
        inside = (times > begin) & (times < end)
        path = _interval(model, state, rate, begin, np.append(times[inside], end), values, rtol, size, typical)
        found[:, inside], state = path[:, :-1], path[:, -1]
    return found.real if by is None else (found.real, found.imag / STEP)


def _interval(model, state, rate, begin, times, values, rtol, size, typical):
    """Complex states at `times`, without an event in between; the imaginary part is STEP times a derivative."""
    tangent = typical is not None
    f = compiled(model, tuple(str(model.rate(name)) for name in model.state_names))
    n, nudge = len(state), 1e-13 * (times[-1] - begin)
    low, high = begin + nudge, times[-1] - nudge  # both ends of an interval obey its own right-hand side

    plain = {name: np.real(value) for name, value in values.items()}

    def real(t, y, p=values):
        return f(min(max(t, low), high), y, p)

    def slope(t, y):
        if not tangent:
            return np.array(real(t, y)) + rate.real
        both = np.array(real(t, y[:n] + 1j * STEP * y[n:])) + rate
        return np.concatenate([both.real, both.imag / STEP])

    def jacobian(t, y):
        one = np.array([np.imag(real(t, y[:n] + 1j * STEP * unit, plain)) / STEP for unit in np.eye(n)]).T
        if not tangent:
            return one
        # how the slopes change with the states: only Newton's matrix, so that a plain difference is good enough
        here, columns = slope(t, y)[n:], []
        for j, step in enumerate(1e-4 * np.maximum(np.abs(y[:n]), 1e-6 * size)):
            moved = y.copy()
            moved[j] += step
            columns.append((slope(t, moved)[n:] - here) / step)
        return np.block([[one, np.zeros((n, n))], [np.array(columns).T, one]])

    start, atol = state.real, 1e-13 * np.maximum(np.abs(state.real), 1e-9 * size)
    if tangent:
        start = np.concatenate([start, state.imag / STEP])
        atol = np.append(atol, 1e-13 * np.maximum(typical, 1e-9 * size))
    done = solve_ivp(slope, (begin, times[-1]), start, "Radau", times, jac=jacobian, rtol=rtol, atol=atol)
    if not done.success:
        raise RuntimeError(done.message)
    return done.y[:n] + 1j * STEP * done.y[n:] if tangent else done.y.astype(complex)


def breaks(model):
    """Times at which a formula of the model switches: every T of a comparison of `t` with a parameter."""
    found = set()
    for text in (str(row.expression) for row in (*model.derived, *model.outputs)):
        found |= _switch_times(text, model.values)
    for _, rate in model.rates:
        found |= _switch_times(str(rate), model.values)
    return tuple(sorted(found))


def _switch_times(text, values):
    pairs = [
        (node.left, node.comparators[0])
        for node in ast.walk(ast.parse(text, mode="eval"))
        if isinstance(node, ast.Compare)
    ]
    names = {a.id: b for pair in pairs for a, b in (pair, pair[::-1]) if isinstance(a, ast.Name)}
    other = names.get("t")
    if isinstance(other, ast.Constant):
        return {float(other.value)}
    return {values[other.id]} if isinstance(other, ast.Name) else set()


def digest(model) -> str:
    """What a stored reference depends on: equations, routes, starts, outputs and numbers, not words or priors."""
    parts = [
        *(f"{name}={value!r}" for name, value in model.values.items()),
        *(f"{name}'={rate}" for name, rate in model.rates),
        *(f"{row.name}:{row.start}" for row in model.states),
        *(f"{row.name}={row.expression}" for row in (*model.derived, *model.outputs)),
        *(
            f"{row.name}>{[(s, str(e)) for s, e in row.into]}{row.viable}{row.lag}{row.duration}{row.rate}"
            for row in model.routes
        ),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
