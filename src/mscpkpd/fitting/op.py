"""The prediction of a problem as one PyTensor operation, with its Jacobian from the engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op

from mscpkpd.population import Population
from mscpkpd.problem import Problem

__all__ = ["CaseOp", "PredictionOp"]


class PredictionOp(Op):
    """Free parameters in, predictions and their Jacobian out.

    Both come from one solve, so that a gradient costs no second one. A failed solve gives NaN: the log density is
    then not finite and the sampler turns back.

    Parameters
    ----------
    problem : Problem
        Bound model and study.
    """

    __props__ = ()

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def make_node(self, theta: Any) -> Apply:
        """Free parameters of shape (n_free,) to predictions (n_rows,) and Jacobian (n_rows, n_free)."""
        rows, free = len(self.problem.rows), len(self.problem.free)
        outputs = [pt.tensor(dtype="float64", shape=(rows,)), pt.tensor(dtype="float64", shape=(rows, free))]
        return Apply(self, [pt.as_tensor_variable(theta)], outputs)

    def perform(self, node: Apply, inputs: list[np.ndarray], output_storage: list[list[np.ndarray]]) -> None:  # noqa: ARG002
        """Solve once."""
        prediction = self.problem.predict(np.asarray(inputs[0], dtype=float), jacobian=True)
        output_storage[0][0] = prediction.value
        output_storage[1][0] = prediction.jacobian

    def pullback(self, inputs: list[Variable], outputs: list[Variable], cotangents: list[Variable]) -> list[Variable]:  # noqa: ARG002
        """Vector-Jacobian product (PyTensor 3)."""
        return [pt.dot(cotangents[0], outputs[1])]

    def L_op(self, inputs: list[Variable], outputs: list[Variable], output_grads: list[Variable]) -> list[Variable]:  # noqa: N802
        """Vector-Jacobian product (PyTensor 2)."""
        return self.pullback(inputs, outputs, output_grads)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


class CaseOp(Op):
    """Parameters of each case in, all points that rows follow from and their derivatives out; else as `PredictionOp`.

    Parameters
    ----------
    population : Population
        Bound model, study and random effects.
    """

    __props__ = ()

    def __init__(self, population: Population) -> None:
        self.population = population
        moving = [population.positions[name] for name in population.moving]
        self.moving = np.array(moving, dtype=int)
        self._place = np.eye(len(population.positions))[:, self.moving]
        self._members = np.eye(len(population.group))[:, population.point_case]

    def make_node(self, values: Any) -> Apply:
        """Values of shape (n_parameters, n_cases) to points (n_points,) and derivatives (n_points, n_moving)."""
        points, moving = len(self.population.point_case), len(self.moving)
        outputs = [pt.tensor(dtype="float64", shape=(points,)), pt.tensor(dtype="float64", shape=(points, moving))]
        return Apply(self, [pt.as_tensor_variable(values)], outputs)

    def perform(self, node: Apply, inputs: list[np.ndarray], output_storage: list[list[np.ndarray]]) -> None:  # noqa: ARG002
        """Solve every case once."""
        found = self.population.solved(np.asarray(inputs[0], dtype=float), self.moving)
        output_storage[0][0], output_storage[1][0] = found

    def pullback(self, inputs: list[Variable], outputs: list[Variable], cotangents: list[Variable]) -> list[Variable]:  # noqa: ARG002
        """Vector-Jacobian product (PyTensor 3): a point moves with the parameters of its own case alone."""
        each = cotangents[0][:, None] * outputs[1]
        return [pt.dot(pt.constant(self._place), pt.dot(pt.constant(self._members), each).T)]

    def L_op(self, inputs: list[Variable], outputs: list[Variable], output_grads: list[Variable]) -> list[Variable]:  # noqa: N802
        """Vector-Jacobian product (PyTensor 2)."""
        return self.pullback(inputs, outputs, output_grads)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other
