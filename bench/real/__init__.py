"""The main job on a real model server: `python -m bench.real`, or `make real`."""
