# Every target sets up what it needs by itself and is quick the second time.
PYTHON := .venv/bin/python
READY := .venv/.ready
# Two workers, a file at a time, in the order of tests/conftest.py: xdist's own has the files of one long test at the end.
SHARED := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: setup app demo test quick lint bench clean

setup: $(READY)

$(READY): requirements.txt requirements-ray.txt requirements-s3.txt requirements-dev.txt
# Systems let no program be installed beside their own Python's: where there is no uv, .venv gets one first.
	@command -v uv >/dev/null || { python3 -m venv .venv && $(PYTHON) -m pip install --quiet uv; }
	@PATH="$$PATH:.venv/bin"; uv venv --quiet --allow-existing .venv \
		&& uv pip install --quiet --python $(PYTHON) -r requirements-dev.txt
	@touch $@

app: $(READY)
	$(PYTHON) app.py --open

demo: $(READY)
	@mkdir -p output
	$(PYTHON) -m videograin edit assets/clips/friends/project.json --frames 8 --quality standard --device cpu -o output/demo.mp4 --strip output/demo.png

lint: $(READY)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m pyright

test: lint
	@tests/browser/install_chromium.sh
	$(PYTHON) -m pytest $(SHARED) --durations=20

# The inner loop: what neither takes long nor needs a browser or a GPU.
quick: $(READY)
	$(PYTHON) -m pytest $(SHARED) --durations=20 -m "not slow and not browser and not gpu"

bench: $(READY)
	$(PYTHON) -m benchmarks.trajectories
	@if $(PYTHON) -c "import sys, torch; sys.exit(not torch.cuda.is_available())"; then \
		$(PYTHON) -m benchmarks.attention && $(PYTHON) -m benchmarks.edit; \
	else \
		echo "No CUDA device: benchmarks.attention and benchmarks.edit were left out."; \
	fi

clean:
	rm -rf .venv output build *.egg-info
