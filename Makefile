# Two commands do all set-up on a fresh Debian or Ubuntu machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
SOURCES := $(shell find csrc sdk -name '*.cpp' -o -name '*.h' -o -name '*.py' -o -name '*.safetensors' 2>/dev/null)

.PHONY: demo test bench chaos fuzz sanitize soak lint clean

demo: $(VENV)/installed-base
	$(VENV)/bin/shotstream demo --out out/demo

test: $(VENV)/installed-dev lint
	$(PY) -m pytest

bench: $(VENV)/installed-base
	$(VENV)/bin/shotstream bench --json out/bench.json

# The long runs that docs/reliability.md reports; the suite has short ones.
chaos: $(VENV)/installed-dev
	$(PY) -m tests.chaos --kills 50 --json out/chaos.json

fuzz: $(VENV)/installed-dev
	$(PY) -m tests.fuzz --messages 1000000 --json out/fuzz.json

sanitize: $(VENV)/installed-dev
	$(PY) -m tests.sanitize --rounds 25 --inputs 1000000

soak: $(VENV)/installed-base
	$(VENV)/bin/shotstream bench --bridge --soak 30 --json out/soak.json

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(PY):
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip

# A change in the sources or in the packaging installs again; packages already there are kept.
$(VENV)/installed-base: $(PY) pyproject.toml constraints.txt CMakeLists.txt $(SOURCES)
	$(PY) -m pip install --quiet -c constraints.txt .
	@touch $@

$(VENV)/installed-dev: $(PY) pyproject.toml constraints.txt CMakeLists.txt $(SOURCES)
	@. ./.ci/system-packages
	$(PY) -m pip install --quiet -c constraints.txt '.[dev]'
	@touch $@ $(VENV)/installed-base

clean:
	rm -rf build out $(VENV)
