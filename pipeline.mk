# What make does with the pipeline, in a clone and in a folder that `eagleeye init` has put it into: `include pipeline.mk`
# in a Makefile of your own has these, too.

# Usage data stay here.
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export ORT_DISABLE_TELEMETRY := 1
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help recipe up down serve ui

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

recipe: ## make recipe NAME=cifar10-resnet20: put a recipe in the place of params.yaml
	@test -f "recipes/$(NAME).yaml" || { \
		echo "NAME is '$(NAME)': allowed are $$(ls recipes | sed 's/[.]yaml$$//' | paste -sd' ')"; exit 1; }
	@for known in recipes/*.yaml; do cmp -s $$known params.yaml && exit 0; done; \
		test -n "$(FORCE)" || git diff --quiet HEAD -- params.yaml || { \
		echo "params.yaml has changes that are in no commit: commit them, or add FORCE=1 to lose them"; exit 1; }
	@cp "recipes/$(NAME).yaml" params.yaml
	@echo "params.yaml is now recipes/$(NAME).yaml; \`git checkout params.yaml\` brings the former back"

up: $(STAMP) ## Prefect server, a worker and MLflow's pages, in the background
	@echo "starting Prefect, a worker and MLflow"
	@$(IN_VENV) python -m flows.servers up

down: $(STAMP) ## stop what `make up` started
	@echo "stopping"
	@$(IN_VENV) python -m flows.servers down

serve: $(STAMP) ## Prefect server and the deployment eagleeye/search, until Ctrl-C
	@echo "starting Prefect and the deployments"
	@$(IN_VENV) python -m flows.servers serve

ui: $(STAMP) ## MLflow's pages on http://127.0.0.1:5000, until Ctrl-C
	@echo "starting MLflow's pages"
	@$(IN_VENV) python -m flows.servers ui
