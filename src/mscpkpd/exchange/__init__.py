"""Exchange of whole estimation problems with other tools: PEtab, version 1."""
