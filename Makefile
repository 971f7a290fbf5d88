# The front door: makes .venv, then hands every target on to invoke.
#   make build-layer NODE=12.16.1     is   .venv/bin/invoke build-layer --node 12.16.1
#   make test                         is   .venv/bin/invoke test
#   make venv EXTRAS=                 leaves out what only tests and checks need; the rest by version and hash
# Anything else goes through ARGS:      make run NODE=12.16.1 ARGS="--event function/events/hello.json"

PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?= dev
STAMP  := $(VENV)/.made-from-pyproject

# What NODE and its kin hold goes by the environment: the shell reads none of it as program.
export NODE ARCH BUILDER
FLAGS := $(if $(NODE),--node="$$NODE") $(if $(ARCH),--arch="$$ARCH") $(if $(BUILDER),--builder="$$BUILDER") $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help venv
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
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV) (once; again when pyproject.toml changes)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL)
	@touch $@

Makefile pyproject.toml requirements.txt: ;

%: $(STAMP)
	@$(VENV)/bin/invoke $@ $(FLAGS)
