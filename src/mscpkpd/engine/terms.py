"""Terms of rates: which of them belong together, which is a share of which, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import sympy

from mscpkpd.expressions import Hill

__all__ = ["is_share", "netted", "product_text", "text_of"]

WORDS = {Hill: "hill", sympy.Abs: "abs", sympy.Min: "min", sympy.Max: "max"}


def netted(coefficients: Iterable[sympy.Expr]) -> list[sympy.Expr]:
    """Sums of the coefficients of one part; what is no share of the others, such as birth beside death, apart."""
    terms = [term for c in coefficients for term in sympy.Add.make_args(c)]
    positive = [term for term in terms if not _negative(term)]
    negative = [term for term in terms if _negative(term)]
    if not positive or not negative:
        return [sympy.factor(sympy.Add(*terms))]
    if all(any(_divides(n, p) for n in negative) for p in positive):
        return [sympy.factor(sympy.Add(*terms))]
    if all(any(_divides(p, n) for p in positive) for n in negative):
        return [sympy.factor(sympy.Add(*terms))]
    return [sympy.factor(sympy.Add(*positive)), sympy.factor(sympy.Add(*negative))]


def _negative(term: sympy.Expr) -> bool:
    return bool(term.as_coeff_Mul()[0] < 0)


def _divides(divisor: sympy.Expr, term: sympy.Expr) -> bool:
    """Whether a product holds all symbols of another as factors."""
    return not sympy.fraction(sympy.cancel(term / divisor))[1].free_symbols


def is_share(gain: sympy.Expr, loss: sympy.Expr) -> bool:
    """Whether every term of a gain is a part of some term of a loss: it has the rate constant of the loss."""
    wholes = sympy.Add.make_args(sympy.expand(loss))
    return all(any(_divides(whole, term) for whole in wholes) for term in sympy.Add.make_args(sympy.expand(gain)))


def text_of(formula: sympy.Expr) -> str:
    """SymPy in the words of model files, numbers short."""
    rounded = formula.xreplace({number: sympy.Float(number, 4) for number in formula.atoms(sympy.Float)})
    for function, name in WORDS.items():
        rounded = rounded.replace(function, sympy.Function(name))
    return str(sympy.sstr(rounded, full_prec=False))


def product_text(coefficient: sympy.Expr, sign: Callable[[sympy.Expr], float]) -> str:
    """A coefficient as a quotient of factors that are each positive: (1 - phi)*k, not -k*(phi - 1)."""
    above, below = sympy.fraction(sympy.factor_terms(sympy.factor(coefficient)))
    (number, top), (divisor, bottom) = (_factor_texts(part, sign) for part in (above, below))
    number = abs(number / divisor)
    if number != 1 or not top:
        top.insert(0, text_of(number))
    if not bottom:
        return top[0].removeprefix("(").removesuffix(")") if len(top) == 1 and top[0].startswith("(") else "*".join(top)
    return f"{'*'.join(top)}/{bottom[0] if len(bottom) == 1 else '(' + '*'.join(bottom) + ')'}"


def _factor_texts(product: sympy.Expr, sign: Callable[[sympy.Expr], float]) -> tuple[sympy.Expr, list[str]]:
    """The number and the other factors of a product."""
    number, texts = sympy.Integer(1), []
    for factor in sorted(sympy.Mul.make_args(product), key=lambda f: (f.is_Add, str(f))):
        base, exponent = factor.as_base_exp()
        if base.is_Add:
            content, base = base.primitive()
            number *= content**exponent
            text = f"({_sum_text(base if sign(base) > 0 else sympy.expand(-base))})"
            texts.append(text if exponent == 1 else f"{text}**{text_of(exponent)}")
        elif factor.is_number:
            number *= factor
        else:
            texts.append(text_of(factor))
    return number, texts


def _sum_text(formula: sympy.Expr) -> str:
    terms = list(sympy.Add.make_args(formula))
    terms.sort(key=lambda term: (_negative(term), bool(term.free_symbols), str(term)))
    text = "".join(f" - {text_of(-term)}" if _negative(term) else f" + {text_of(term)}" for term in terms)
    return text.removeprefix(" + ").strip()
