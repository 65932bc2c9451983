# Every target sets up what it needs by itself and is quick the second time.
PYTHON := .venv/bin/python
READY := .venv/.ready

.PHONY: setup test lint bench clean

setup: $(READY)

$(READY): requirements.txt requirements-dev.txt
	@command -v uv >/dev/null || python3 -m pip install --quiet uv
	uv venv --quiet --allow-existing .venv
	uv pip install --quiet --python $(PYTHON) -r requirements-dev.txt
	@touch $@

lint: $(READY)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m pyright

test: lint
	$(PYTHON) -m pytest

clean:
	rm -rf .venv output
