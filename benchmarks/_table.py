"""From ``results/`` to ``docs/benchmarks.md``: the newest row of every question, and where a peer is faster."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from _record import OURS, RESULTS, Target

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Made by `benchmarks/_table.py` from `benchmarks/results/`; `make bench` measures again and writes this page.

Ratios are of medians within one run, on the same problem, on the same number of cores. Equations of all peers are
generated from the same model. Where an error is given, each has the loosest tolerance with which it is as right as
asked: outputs within 1e-6 of the largest value of each curve, gradients within 1e-5 of their length, against a
reference at 1e-12.
"""

Row = dict[str, Any]


def main() -> None:
    rows = newest()
    text = page(rows)
    PAGE.write_text(text)
    print("\n".join(summary(rows)))
    print(f"\nWritten: {PAGE}")


def newest() -> list[Row]:
    """The last row of each question and problem, in the order of the scripts."""
    found: dict[tuple[str, str, str], Row] = {}
    for path in sorted(RESULTS.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            found[row["question"], row["title"], row["problem"]] = row
    return list(found.values())


def page(rows: list[Row]) -> str:
    """The whole page."""
    parts = [HEAD, *summary(rows), "", *slower(rows), "", "## Everybody", ""]
    for row in rows:
        parts += [*details(row), ""]
    return "\n".join(parts)


def summary(rows: Iterable[Row]) -> list[str]:
    """One line for each question."""
    lines = [
        "| question | problem | ours | quickest peer | target | measured | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours, peers = ours_of(row), peers_of(row)
        quickest = min(peers, key=value, default=None)
        cells = [
            row["title"], row["problem"], number(ours, row) if ours else "-",
            f"{quickest['name']}: {number(quickest, row)}" if quickest else "-", *aim(row, ours, peers),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def aim(row: Row, ours: Row | None, peers: list[Row]) -> tuple[str, str, str]:
    """The target, what was measured, and whether that is enough."""
    if row["target"] is None or ours is None:
        stopped = next((reason for name, reason in row["skipped"].items() if name.startswith(OURS)), "")
        measured = "-" if ours else stopped or "not measured"
        return (str(Target(**row["target"])) if row["target"] else "-"), measured, "not reached" if stopped else ""
    target = Target(**row["target"])
    against = next((peer["value"] for peer in peers if peer["name"] == target.against), None)
    if target.against and against is None:
        return str(target), "not measured", ""
    got = f"{against / ours['value']:.3g}x" if against else f"{ours['value']:.3g} {row['unit']}"
    return str(target), got, "reached" if target.reached(ours["value"], against) else "not reached"


def slower(rows: Iterable[Row]) -> Iterator[str]:
    """Where a peer is faster, plainly."""
    yield "## Where a peer is faster"
    yield ""
    found = [
        f"- {row['title']}, {row['problem']}: {peer['name']} takes {number(peer, row)}, ours {number(ours, row)}"
        f" ({ours['value'] / peer['value']:.3g} times as long)"
        for row in rows
        if (ours := ours_of(row))
        for peer in sorted(peers_of(row), key=value)
        if peer["value"] < ours["value"]
    ]
    yield from found or ["Nowhere in these questions."]


def details(row: Row) -> Iterator[str]:
    """Everything about one question."""
    yield f"### {row['title']}: {row['problem']}"
    yield ""
    yield f"| way | {row['unit']} | quartiles | over ours | error | tolerance | note |"
    yield "|---|---|---|---|---|---|---|"
    ours = ours_of(row)
    for way in row["ways"]:
        ratio = f"{way['value'] / ours['value']:.3g}" if ours else ""
        spread = f"{way['low']:.4g} to {way['high']:.4g}" if "low" in way else ""
        error = f"{way['error']:.0e}" if "error" in way else ""
        tolerance = f"{way['tolerance']:g}" if "tolerance" in way else ""
        note = way.get("note", "")
        yield f"| {way['name']} | {way['value']:.4g} | {spread} | {ratio} | {error} | {tolerance} | {note} |"
    for name, reason in row["skipped"].items():
        yield f"| {name} | not run | | | | | {reason} |"
    yield ""
    if row["facts"]:
        yield "; ".join(f"{key}: {fact}" for key, fact in row["facts"].items()) + "."
        yield ""
    machine, versions = row["machine"], row["versions"]
    yield (
        f"{row['date'][:10]}, {machine['processor']}, {row['cores']} of {machine['cores']} cores, "
        f"load {machine['load']}, {machine['system']}, "
        f"Python {machine['python']}, {', '.join(f'{name} {number}' for name, number in versions.items())}."
    )


def ours_of(row: Row) -> Row | None:
    """Our own way that counts: the quickest that does the same job."""
    ours = (way for way in row["ways"] if way["name"].startswith(OURS) and "baseline" not in way)
    return min(ours, key=value, default=None)


def peers_of(row: Row) -> list[Row]:
    """All other ways that do the same job."""
    return [way for way in row["ways"] if not way["name"].startswith(OURS) and "baseline" not in way]


def value(way: Row) -> float:
    """What is compared."""
    return float(way["value"])


def number(way: Row, row: Row) -> str:
    """A value with its unit."""
    return f"{way['value']:.3g} {row['unit']}"


if __name__ == "__main__":
    main()
