"""Fitting models to studies."""
