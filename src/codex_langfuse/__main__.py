"""Run the command as ``python -m codex_langfuse``."""

from codex_langfuse.cli import main

if __name__ == "__main__":
    main()
