"""``python -m theodolite``, for torchrun."""

from theodolite.cli import main

if __name__ == "__main__":
    main()
