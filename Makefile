# What a person runs. `make help` says what each does.
SHELL := /bin/sh
PYTHON := .venv/bin/python
LAB := $(PYTHON) -m lab
INSTALLED := test -x $(PYTHON)
# What the demo and the tests keep between two runs: databases, disks, logs, passwords. The crash matrix's results stay.
KEPT := /var/tmp/sv2m-lab /var/tmp/sv2m-test
export PYTHONPATH := $(CURDIR)

.PHONY: help install demo test test-quick test-agent-faults test-faults test-load test-galera formal fuzz lint lab-up lab-status lab-down bench clean

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install:  ## Install what is missing: Debian packages, virtual environment
	@tools/bootstrap

demo: install  ## Start two clouds, migrate a running VM, show that it continued
	@$(PYTHON) -m lab demo

test: install  ## Install what is missing, run the whole suite (static checks, unit, protocol, agent, two clouds)
	@tools/run-tests

test-quick: install  ## Static checks, unit and protocol tests only
	@tools/run-tests quick

test-agent-faults: install  ## Every fault of the compute-host agent, between two libvirt hosts (long)
	@tools/run-tests agent-faults

test-faults: install  ## The crash matrix on two real clouds (hours; goes on where it was; FAULTS='kill-qemu@* *:landing' limits it)
	@PYTHONWARNINGS=ignore $(PYTHON) -m tests.faults $(foreach pattern,$(FAULTS),'$(pattern)')

test-load: install  ## A crowd on one engine: 40 pre-copies, a peer that trickles, 20 servers that arrive (minutes)
	@SV2M_TEST_LOAD=1 .venv/bin/python -m pytest -q tests/load/test_crowd.py

test-galera: install  ## The database's writes on three Galera nodes, all of them written (a minute)
	@.venv/bin/python -m pytest -q tests/galera

formal: install  ## Check the protocol's model, and that it cannot do with less (minutes)
	@$(PYTHON) -m formal && $(PYTHON) -m formal.maude && $(PYTHON) -m formal.commit && $(PYTHON) -m formal.proverif

fuzz: install  ## Fuzz every parser of a peer's or an operator's bytes, for SECONDS (600) together
	@$(PYTHON) -m tests.fuzz --seconds $(or $(SECONDS),600)

lint: install  ## ruff and mypy
	@.venv/bin/ruff check . && .venv/bin/mypy

lab-up: install  ## Start the two clouds, with SV2M in both
	@$(LAB) up

lab-status:  ## A table of every service of the two clouds
	@$(INSTALLED) || { echo "nothing is installed here; make lab-up starts the clouds"; exit 1; }; $(LAB) status

lab-down:  ## Stop the two clouds; leave nothing
	@if $(INSTALLED); then $(LAB) down; fi

bench: install  ## Measure sealing and sending
	@$(PYTHON) -m bench

clean: lab-down  ## Stop the clouds and remove what was built and kept
	@if $(INSTALLED); then for lab in $(KEPT); do \
	    if [ -d $$lab/ttp ]; then $(LAB) --dir $$lab down && rm -rf $$lab; fi; \
	done; fi
	@rm -rf .venv .bootstrap.log .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
