"""Operations on deployments: create, list, get."""
