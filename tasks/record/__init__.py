"""MLflow's record of a search: a view of the tables, the scores on record and the stage at work, never more."""
