"""The program `orlop`, also as `python -m orlop`."""

import signal
import sys

_INTERRUPTED = 130
_IN_JSON = (
    '{"error": {"code": "interrupted", "exit_code": 130, "message": "interrupted", "hint": null}}\n'
)


def main() -> int:
    """Run the command line of the process, and return its exit code.

    Ctrl-C writes no traceback, not even while modules are imported: all of them are imported
    below the handler.
    """
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    try:
        from orlop.cli import signals  # noqa: PLC0415 (nothing else is to be imported before)

        with signals.raising():
            from orlop.cli.main import main as run  # noqa: PLC0415

            return run()
    except KeyboardInterrupt as error:
        sys.stderr.write(_IN_JSON if "--json" in sys.argv else "orlop: interrupted\n")
        return getattr(error, "exit_code", _INTERRUPTED)
    finally:
        if not is_ignored:
            # The command is done: what comes while the interpreter ends would only be a traceback.
            signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
