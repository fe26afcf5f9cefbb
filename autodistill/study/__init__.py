"""Floor 4: the Optuna study: ask, tell, resume; which stages are ready."""
