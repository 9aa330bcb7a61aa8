"""The cloud side: Lambdas, tables, deployment tooling. Imports contract/ only, never edge/."""
