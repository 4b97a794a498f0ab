"""The stages of the pipeline: each loads artefacts, calls the library, writes artefacts and logs."""
