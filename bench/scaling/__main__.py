"""`python -m bench.scaling`: print the tables of docs/scaling.md, and rewrite them there. `--print`: only print."""

import argparse

from bench.scaling.figures import read
from bench.scaling.tables import tables, write


def main() -> None:
    """Do as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--print", action="store_true", dest="is_dry", help="leave the page alone")
    arguments = parser.parse_args()
    made = tables(read())
    for name, table in made.items():
        print(f"{name}\n\n{table}\n")
    if not arguments.is_dry:
        write(made)


if __name__ == "__main__":
    main()
