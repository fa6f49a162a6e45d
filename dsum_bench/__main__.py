"""`python -m dsum_bench` is the same as `dsum-bench`."""

from dsum_bench.cli import main

if __name__ == "__main__":
    main()
