"""Exchange with other tools in the Systems Biology Markup Language (SBML), Level 3 core.

`mscpkpd.sbml.writing` writes a model with its doses; `mscpkpd.sbml.reading` reads files that other tools wrote. What
SBML can say and this package cannot is refused by name, never left out.
"""
