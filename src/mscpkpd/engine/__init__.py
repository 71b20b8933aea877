"""Solving the equations of a model between and across events."""
