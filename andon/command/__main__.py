"""`python -m andon.command`: the `andon` command where its script is not on the path."""

from andon.command import main

main()
