"""The flows that chain the stages under Prefect."""
