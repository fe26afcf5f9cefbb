"""The record of a study: Optuna's database, its directory, rows, and the frontier."""
