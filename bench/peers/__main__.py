"""Make the peers' environment, and say where its Python is: `python -m bench.peers`."""

from bench.peers import environment

environment.install()
print(environment.PYTHON)
