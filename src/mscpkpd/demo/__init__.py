"""The three jobs on shipped data, end to end, with one report."""

from __future__ import annotations

from mscpkpd.demo.run import DemoResult, Settings, run_demo

__all__ = ["DemoResult", "Settings", "run_demo"]
