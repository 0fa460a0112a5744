# Two commands do everything, set-up included: `make run` and `make test`. `make help` lists the rest.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:

export PIP_DISABLE_PIP_VERSION_CHECK = 1
# The project is always run from this clone's .venv, whatever other environment is active.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV

BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet

.PHONY: run
run: .venv/.runtime ## Start the exporter with config.yaml and the embedded store; further flags: make run ARGS="…"
	exec $(BIN)/heartbeat-exporter --config.file=config.yaml $(ARGS)

.PHONY: test
test: .venv/.dev tools check ## Run every check and every test
	$(BIN)/python -m pytest --cov

.PHONY: soak
soak: .venv/.dev tools ## Repeat the tests of crashes, stops and failing disks for a while: make soak SECONDS=1200
	SOAK_SECONDS=$(or $(SECONDS),1200) $(BIN)/python -m pytest \
	    tests/faults/test_crash.py tests/faults/test_sigterm.py tests/faults/test_disk.py

.PHONY: bench
bench: .venv/.bench bench-tools ## Measure what is fast, beside peers: make bench ARGS="--only pings"; SHORT=1: see that it runs
	$(BIN)/python -m bench $(if $(SHORT),--short) $(ARGS)

.PHONY: check
check: lint types layers generated-check ## Run the checks that need no test

.PHONY: lint
lint: .venv/.dev ## Check style and formatting, the Dockerfile's too
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/hadolint Dockerfile

.PHONY: types
types: .venv/.dev ## Check the types
	$(BIN)/mypy

.PHONY: layers
layers: .venv/.dev ## Check who imports whom
	$(BIN)/lint-imports

.PHONY: generated-check
generated-check: .venv/.dev ## Check that what is generated is up to date and that every link of the docs leads somewhere
	$(BIN)/python -m docs.generate --check
	$(BIN)/python -m deploy.generate --check

.PHONY: generated
generated: .venv/.dev ## Regenerate what is made from the code and the rules: parts of the docs, dashboards, PrometheusRule
	$(BIN)/python -m docs.generate
	$(BIN)/python -m deploy.generate

.PHONY: lock
lock: .venv/.dev ## Bring the lock files in line with pyproject.toml; make lock UPGRADE=1 takes the newest versions
	@set -e; \
	compile() { \
	    $(BIN)/uv pip compile --quiet --universal --python-version=3.11 --generate-hashes --no-header \
	        --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade) "$$@"; \
	}; \
	compile --group=build --output-file=requirements-build.lock; \
	compile pyproject.toml --output-file=requirements.lock; \
	compile --group=dev --constraints=requirements-build.lock --constraints=requirements.lock \
	    --output-file=requirements-dev.lock; \
	compile --group=bench --constraints=requirements-build.lock --constraints=requirements.lock \
	    --constraints=requirements-dev.lock --output-file=requirements-bench.lock

.PHONY: clean
clean: ## Remove what these commands made, the store in data/ excepted
	rm -rf .venv build .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

# $(call apt_install,<packages>): from the distribution, as root or through sudo.
define apt_install
if ! command -v apt-get >/dev/null; then \
    echo >&2 "Missing here: $(1) (Debian's names). Install that, then run make again."; exit 1; \
fi; \
if [ "$$(id -u)" = 0 ]; then sudo=; \
elif command -v sudo >/dev/null; then sudo=sudo; \
else \
    echo >&2 "Missing here: $(1), and neither root nor sudo to install it."; \
    echo >&2 "Let root run: apt-get install $(1); then run make again."; exit 1; \
fi; \
echo "Installing $(1)"; \
$$sudo apt-get update --quiet || echo >&2 "Going on with the package lists that are there."; \
$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $(1)
endef

# The programs that the tests put the exporter together with; whatever the PATH has is taken.
.PHONY: tools
tools:
	@has() { command -v "$$1" >/dev/null; }; missing=; \
	has prometheus && has promtool || missing="$$missing prometheus"; \
	{ has alertmanager || has prometheus-alertmanager; } && has amtool || missing="$$missing prometheus-alertmanager"; \
	has curl || missing="$$missing curl"; \
	has chromium || missing="$$missing chromium"; \
	has faketime || missing="$$missing faketime"; \
	has setpriv || missing="$$missing util-linux"; \
	has systemd-analyze || missing="$$missing systemd"; \
	[ -z "$$missing" ] || { $(call apt_install,$${missing# }); }

# The programs that the bench measures, and those with which it does.
.PHONY: bench-tools
bench-tools:
	@has() { command -v "$$1" >/dev/null; }; missing=; \
	has wrk || missing="$$missing wrk"; \
	has hey || missing="$$missing hey"; \
	has curl || missing="$$missing curl"; \
	has prometheus || missing="$$missing prometheus"; \
	{ has pushgateway || has prometheus-pushgateway; } || missing="$$missing prometheus-pushgateway"; \
	[ -z "$$missing" ] || { $(call apt_install,$${missing# }); }

# The stamps below hold their environment's state, so that a second run installs nothing and needs no network.

.venv/.dev: .venv/.runtime requirements-dev.lock
	$(PIP) install --require-hashes --requirement=requirements-dev.lock
	@touch $@

.venv/.bench: .venv/.runtime requirements-bench.lock
	$(PIP) install --require-hashes --requirement=requirements-bench.lock
	@touch $@

# The build requirements come first and alone, so that nothing unpinned is ever fetched to build another package.
.venv/.runtime: .venv/.place pyproject.toml requirements-build.lock requirements.lock
	$(PIP) install --require-hashes --requirement=requirements-build.lock
	$(PIP) install --require-hashes --no-build-isolation --requirement=requirements.lock
	$(PIP) install --no-index --no-deps --no-build-isolation --editable=.
	@touch $@

# An environment holds its own path, so one that was moved or copied is made anew.
ifneq "$(shell cat .venv/.place 2>/dev/null)" "$(CURDIR)"
.venv/.place: FORCE
endif

.venv/.place:
	@for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
	    version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))' \
	        2>/dev/null) && break; \
	    version=; \
	done; \
	if [ -z "$$version" ]; then \
	    echo >&2 "Python 3.11 or newer is needed; $$(python3 --version 2>&1) is what python3 is here."; \
	    echo >&2 "Install a newer one and name it: make PYTHON=python3.13 …"; exit 1; \
	fi; \
	"$$python" -c 'import ensurepip, venv' 2>/dev/null || { $(call apt_install,python$$version-venv); } && \
	"$$python" -m venv --clear .venv && \
	printf '%s\n' "$(CURDIR)" >$@

.PHONY: FORCE
FORCE:
