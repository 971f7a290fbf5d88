# Creates .venv, then passes each target to invoke:
#   make build-layer NODE=24     runs   .venv/bin/invoke build-layer --node=24
#   make test                    runs   .venv/bin/invoke test
# NODE, ARCH and BUILDER become flags. Pass other flags with ARGS: make run NODE=24 ARGS="--timeout 5"
# ARGS is a part of a shell command: never put a value from somebody else into it.
# make venv EXTRAS= installs only what nodelayer itself needs, with the versions and hashes of requirements.txt.

PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?= dev
STAMP  := $(VENV)/.made-from-pyproject

# Pass values through the environment, so that the shell never evaluates them. $(value) keeps make from expanding them,
# and without MAKEOVERRIDES no make that a command starts gets them again.
$(foreach name,NODE ARCH BUILDER,$(if $(value $(name)),$(eval override export $(name) := $$(value $(name)))))
MAKEOVERRIDES =
%: export NODELAYER_COMMAND = $@
FLAGS := $(if $(NODE),--node="$$NODE") $(if $(ARCH),--arch="$$ARCH") $(if $(BUILDER),--builder="$$BUILDER") $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help venv build-layer test-layer download
help: $(STAMP)
	@$(VENV)/bin/invoke --list

venv: $(STAMP)

# Jobs that publish install exactly the versions in requirements.txt; tests use what pyproject.toml allows.
PIP := $(VENV)/bin/python -m pip install -qq --disable-pip-version-check
ifeq ($(EXTRAS),)
INSTALL = $(PIP) --require-hashes --only-binary :all: -r requirements.txt && $(PIP) --no-deps --no-build-isolation --editable .
else
INSTALL = $(PIP) --editable '.[$(EXTRAS)]'
endif

$(STAMP): pyproject.toml requirements.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not installed; use another Python: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than 3.11; use a newer Python: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV) (once; again when pyproject.toml changes)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL)
	@touch $@

Makefile pyproject.toml requirements.txt: ;

# The message of invoke would name --node, which users of make do not see.
build-layer test-layer download: $(STAMP)
	@$(if $(NODE)$(ARGS),,echo "make: NODE is missing; for example: make $@ NODE=24" >&2; exit 2)
	@$(VENV)/bin/invoke "$$NODELAYER_COMMAND" $(FLAGS)

%: $(STAMP)
	@$(VENV)/bin/invoke "$$NODELAYER_COMMAND" $(FLAGS)
