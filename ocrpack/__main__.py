"""Run the command line as `python -m ocrpack`."""

from ocrpack.cli import main

main()
