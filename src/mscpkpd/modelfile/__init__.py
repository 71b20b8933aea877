"""Model files: TOML to `Model` and back, values files, regimens, and the shipped library.

A model file has the keys ``format, name, title, about, time, reference, conserved, extend, without`` and the tables
``[parameters] [states] [chains] [routes] [derived] [rates] [outputs] [variability]``, one row a line::

    k_L = { value = 0.0289, unit = "1/h", prior = "lognormal(0.0289, 0.4)", about = "...", evidence = "read" }

``extend = "other"`` starts from another model and replaces or adds rows; ``without = ["outputs.blood_cells"]`` leaves
rows of it out. ``[chains]`` writes states in series once. A values file holds only ``[parameters]``, each number with
its source and evidence, and lays them over those of a model; several are laid one over the other.
"""

from mscpkpd.modelfile.library import library_path, models, regimens, values_of
from mscpkpd.modelfile.load import Declaration, declaration, load_model, overlays_besides
from mscpkpd.modelfile.regimen import load_regimen
from mscpkpd.modelfile.save import save_model

__all__ = [
    "Declaration",
    "declaration",
    "library_path",
    "load_model",
    "load_regimen",
    "models",
    "overlays_besides",
    "regimens",
    "save_model",
    "values_of",
]
