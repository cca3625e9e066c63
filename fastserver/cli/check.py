"""``--check-config``: everything that a start reads, without serving anything."""

import sys

from fastserver.cli.line import CommandLine
from fastserver.config.errors import ConfigError
from fastserver.config.tls import create_ssl_context
from fastserver.errors import ExitCode, StartupFailed
from fastserver.server.endpoints import list_alpn
from fastserver.server.server import Server


def check(line: CommandLine) -> int:
    """Load the certificates, the application and its extensions; print what is wrong, and give the exit code."""
    try:
        if not line.config.dev_cert:  # which a start would make
            create_ssl_context(line.config, list_alpn(line.config))
        Server(line.app, line.config).load()
    except (ConfigError, StartupFailed) as error:
        if isinstance(error, StartupFailed) and error.details:
            print(error.details.rstrip(), file=sys.stderr)
        print(f"fastserver: error: {error}", file=sys.stderr)
        return ExitCode.NOT_STARTED
    print("configuration is fine")
    return ExitCode.OK
