"""The place for your own networks, data functions, criteria and samplers: `own.network:make` in params.yaml.

Every stage watches the files of this folder: after an edit, `dvc repro` and the deployment redo what depends on it.
"""
