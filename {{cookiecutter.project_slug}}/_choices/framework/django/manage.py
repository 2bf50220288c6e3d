"""Django's command line, by its usual name; `python -m {{ cookiecutter.__package }}` is the same."""

from {{ cookiecutter.__package }}.__main__ import main

if __name__ == "__main__":
    main()
