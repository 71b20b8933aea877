"""Draws of chains on disk as they come, and what of an interrupted run remains to be drawn.

Everything that touches Zarr. The sampler writes each stretch of a chain as a Zarr store of its own, in chunks of a few
draws; a kill loses at most the draws since the chunk before the last. See docs/decisions/0009-draws-on-disk.md.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mscpkpd.errors import InputError
from mscpkpd.fitting.frame import Frame
from mscpkpd.modelfile import save_model
from mscpkpd.population import Population
from mscpkpd.problem import Problem

__all__ = ["MARK", "Leg", "Place", "Stretch", "described", "so_far"]

MARK, FRAME = "run.json", "frame.npz"  # every folder of draws holds the first
STATISTICS = ("diverging", "energy", "depth", "n_steps", "step_size")
# Draws of warm-up when a chain goes on: it starts in the posterior, in coordinates in which that is about standard
# normal, and has only to find its step size and widths again.
SETTLE = 200
WORDS = {"model": "model", "data": "data", "seed": "seed", "version": "version of mscpkpd"}

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Leg:
    """A stretch of one chain that remains to be drawn.

    Attributes
    ----------
    chain, part : int
        Number of the chain, and of the stretch in it.
    seed : int
    draws, tune : int
        Draws to keep, and warm-up draws before them.
    start : array of shape (n,) or None
        Where it goes on, in the coordinates of the frame; None for a chain that begins.
    before : int
        Draws of the chain that are kept already.
    """

    chain: int
    part: int
    seed: int
    draws: int
    tune: int
    start: np.ndarray | None = None
    before: int = 0


@dataclass(frozen=True, eq=False)
class Stretch:
    """What one Zarr store holds that counts.

    Attributes
    ----------
    theta : array of shape (n_draws, n)
        In the order of what the sampler draws, natural scale.
    last : array of shape (n,)
        The last draw in the coordinates of the frame.
    statistics : dict of str to array of shape (n_draws,)
    """

    theta: np.ndarray
    last: np.ndarray
    statistics: Arrays

    def __len__(self) -> int:
        return len(self.theta)


@dataclass(frozen=True)
class Place:
    """The folder of one run's draws.

    Attributes
    ----------
    folder : Path
    """

    folder: Path

    def claim(self, description: Mapping[str, Any]) -> None:
        """Begin a run here, or find that the run kept here is the same.

        Raises
        ------
        InputError
            If it is of another model, of other data, options or seed, or if the folder holds something else.
        """
        record, wanted = self.folder / MARK, json.loads(json.dumps(dict(description)))
        if not record.exists():
            if self.folder.exists() and any(self.folder.iterdir()):
                raise InputError("this is no folder of draws", where=str(self.folder), hint="an empty or new folder")
            self.folder.mkdir(parents=True, exist_ok=True)
            part = record.with_suffix(".part")
            part.write_text(json.dumps(wanted, indent=2) + "\n")
            part.replace(record)
            return
        try:
            found = json.loads(record.read_text())
        except ValueError as error:
            raise InputError(f"this is no folder of draws: {error}", where=str(record)) from error
        for name, value in wanted.items():
            if found.get(name) != value:
                raise InputError(
                    f"the draws kept here are of another {WORDS.get(name, name)}: {_differing(found.get(name), value)}",
                    where=str(self.folder),
                    hint="fit what was interrupted, or remove the folder to start anew",
                )

    def frame(self) -> tuple[Frame, tuple[str, ...]] | None:
        """Coordinates of the run and the effects sampled centred; None where it has not come so far."""
        path = self.folder / FRAME
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as kept:
            pair = tuple(int(k) for k in kept["exchange"])
            exchange = (pair[0], pair[1]) if pair else None
            return Frame(kept["center"], kept["axes"], exchange), tuple(str(name) for name in kept["centred"])

    def keep_frame(self, frame: Frame, centred: tuple[str, ...]) -> None:
        """Write the coordinates of the run: draws are continued in those that they were made in."""
        part = self.folder / f"part-{FRAME}"
        np.savez(
            part, center=frame.center, axes=frame.axes, exchange=np.array(frame.exchange or (), dtype=int),
            centred=np.array(centred, dtype="U"),
        )  # fmt: skip
        part.replace(self.folder / FRAME)

    def legs(self, chains: int, draws: int, tune: int, seed: int) -> list[Leg]:
        """Return what remains to be drawn of each chain; what was cut in warm-up is removed and begins again."""
        return [leg for k in range(chains) for leg in self._remaining(k, draws, tune, seed)]

    def _remaining(self, chain: int, draws: int, tune: int, seed: int) -> Iterator[Leg]:
        kept = [stretch for stretch in self._stretches(chain) if len(stretch)]
        done = sum(len(stretch) for stretch in kept)
        if done >= draws:
            return
        if not done:
            shutil.rmtree(self.folder / f"chain-{chain}", ignore_errors=True)
            # spawned, so that a chain does not depend on how many there are (G3)
            begin = np.random.SeedSequence(seed, spawn_key=(chain,))
            yield Leg(chain, 0, int(begin.generate_state(1)[0]), draws, tune)
            return
        part = 1 + max(int(path.stem) for path in self._stores(chain))
        again = np.random.SeedSequence(seed, spawn_key=(chain, part))
        yield Leg(
            chain, part, int(again.generate_state(1)[0]), draws - done, min(tune, SETTLE), kept[-1].last, before=done
        )

    def store(self, leg: Leg) -> Path:
        """Folder of the Zarr store of a stretch."""
        return self.folder / f"chain-{leg.chain}" / f"{leg.part}.zarr"

    def finish(self, leg: Leg) -> None:
        """Mark a stretch as whole."""
        self.store(leg).with_suffix(".done").touch()

    def _stores(self, chain: int) -> list[Path]:
        return sorted((self.folder / f"chain-{chain}").glob("*.zarr"), key=lambda path: int(path.stem))

    def _stretches(self, chain: int) -> Iterator[Stretch]:
        for path in self._stores(chain):
            found = read_stretch(path)
            if found is not None:
                yield found

    def collected(self, chains: int, draws: int) -> tuple[np.ndarray, Arrays]:
        """All draws of all chains.

        Returns
        -------
        theta : array of shape (chains, draws, n)
        statistics : dict of str to array of shape (chains, draws)
        """
        whole = [[s for s in self._stretches(k) if len(s)] for k in range(chains)]
        theta = [np.concatenate([s.theta for s in parts])[:draws] for parts in whole]
        names = whole[0][0].statistics
        statistics = {n: [np.concatenate([s.statistics[n] for s in parts])[:draws] for parts in whole] for n in names}
        return np.stack(theta), {name: np.stack(values) for name, values in statistics.items()}


def described(problem: Problem | Population, **options: Any) -> dict[str, Any]:
    """What must be the same for draws to go on: model, data, what is learned and from where, and the options."""
    inner = problem.problem if isinstance(problem, Population) else problem
    learned = [[p.name, str(p.prior), p.start] for p in inner.free]
    if isinstance(problem, Population):
        learned += [[effect.omega_sd, str(effect.prior), effect.sd] for effect in problem.effects]
    with tempfile.TemporaryDirectory(prefix="mscpkpd-") as folder:
        text = save_model(inner.model, Path(folder) / "model.toml").read_bytes()
    return {
        "model": f"{inner.model.name} {sha256(text).hexdigest()[:12]}",
        "data": f"{inner.study.name} {inner.study.digest[:12]}",
        "learned": learned,
        **options,
        "version": version("mscpkpd"),
    }


def _differing(found: Any, wanted: Any) -> str:
    if isinstance(found, list) and isinstance(wanted, list):
        return f"{[each for each in found if each not in wanted]}, not {[each for each in wanted if each not in found]}"
    return f"{found}, not {wanted}"


def so_far(path: Path) -> tuple[int, int, float | None]:
    """Draws that a store holds, divergences among them, and the last step size; None before there is one."""
    import zarr

    try:
        group: Any = zarr.open_group(str(path), mode="r")
        energy = np.isfinite(group["sample_stats/energy"][0])
        count = len(energy) if energy.all() else int(np.argmin(energy))
        steps = np.asarray(group["sample_stats/step_size" if count else "warmup_sample_stats/step_size"][0])
        steps = steps[np.isfinite(steps)]
        diverging = int(np.sum(group["sample_stats/diverging"][0, :count])) if count else 0
    except (OSError, ValueError, KeyError, RuntimeError):
        return 0, 0, None
    return count, diverging, float(steps[-1]) if len(steps) else None


def read_stretch(path: Path) -> Stretch | None:
    """Draws of a store that count: all of a whole one, else those before its last whole chunk.

    The sampler writes the numbers of a chunk one file after another, so that of a store that was cut the last chunk may
    lack some of them.
    """
    import zarr

    try:
        group: Any = zarr.open_group(str(path), mode="r")
        theta = np.asarray(group["posterior/theta"][0])
        place = group["posterior/frame"]
        statistics = {n: np.asarray(group[f"sample_stats/{n}"][0]) for n in STATISTICS}
        size = int(group["sample_stats/energy"].chunks[1])
        placed = np.asarray(place[0])
    except (OSError, ValueError, KeyError, RuntimeError):  # killed while the store was made
        return None
    count = len(theta)
    if not path.with_suffix(".done").exists():
        numbers = np.isfinite(statistics["energy"]) & np.isfinite(theta).all(axis=1) & np.isfinite(placed).all(axis=1)
        there = count if numbers.all() else int(np.argmin(numbers))
        count = max(0, (there // size - 1) * size)
    return Stretch(theta[:count], placed[max(count - 1, 0)], {n: a[:count] for n, a in statistics.items()})
