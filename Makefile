# The front door: makes .venv, then hands every target on to invoke.
#   make build-layer NODE=12.16.1     is   .venv/bin/invoke build-layer --node 12.16.1
#   make test                         is   .venv/bin/invoke test
#   make venv EXTRAS=                 leaves out what only tests and checks need; the rest by version and hash
# Anything else goes through ARGS:      make run NODE=12.16.1 ARGS="--event function/events/hello.json"

PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?= dev
STAMP  := $(VENV)/.made-from-pyproject

# Pass values through the environment, so that the shell never evaluates them.
export NODE ARCH BUILDER
FLAGS := $(if $(NODE),--node="$$NODE") $(if $(ARCH),--arch="$$ARCH") $(if $(BUILDER),--builder="$$BUILDER") $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help venv build-layer test-layer download
help: $(STAMP)
	@$(VENV)/bin/invoke --list

venv: $(STAMP)

# What publishes installs exactly what requirements.txt names by hash; tests meet whatever pyproject.toml allows.
PIP := $(VENV)/bin/python -m pip install -qq --disable-pip-version-check
ifeq ($(EXTRAS),)
INSTALL = $(PIP) --require-hashes -r requirements.txt && $(PIP) --no-deps --no-build-isolation --editable .
else
INSTALL = $(PIP) --editable '.[$(EXTRAS)]'
endif

$(STAMP): pyproject.toml requirements.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not installed; name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV) (once; again when pyproject.toml changes)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL)
	@touch $@

Makefile pyproject.toml requirements.txt: ;

# A user of make does not know --node.
build-layer test-layer download: $(STAMP)
	@$(if $(NODE)$(ARGS),,echo "make: NODE= is missing; for instance: make $@ NODE=24" >&2; exit 2)
	@$(VENV)/bin/invoke $@ $(FLAGS)

%: $(STAMP)
	@$(VENV)/bin/invoke $@ $(FLAGS)
