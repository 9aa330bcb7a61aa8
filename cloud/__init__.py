"""The cloud side: Lambdas, tables, deployment tooling. Never meets edge/; imports contract/ only."""
