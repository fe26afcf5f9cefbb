"""Floor 5: the Optuna study: ask, tell, resume; which stages are ready."""
