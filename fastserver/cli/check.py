"""``--check-config``: everything that a start reads, without serving anything."""

import sys
import time

from fastserver.cli.line import CommandLine
from fastserver.config.devcert import resolve_dev_cert
from fastserver.config.errors import ConfigError
from fastserver.errors import ExitCode, StartupFailed
from fastserver.logs.errorlog import get_error_log
from fastserver.processes.privileges import resolve_identity
from fastserver.server.renewal import warn_of_expired
from fastserver.server.server import Server
from fastserver.server.tls import load_tls


def check(line: CommandLine) -> int:
    """Look up the user, load certificates, application and extensions; print what is wrong, and give the exit code."""
    config = line.config
    try:
        resolve_identity(config.user, config.group)
        config = resolve_dev_cert(config, time.time(), lambda line, *facts: None)
        warn_of_expired(load_tls(config), get_error_log(), time.time())
        Server(line.app, config).load()
    except (ConfigError, StartupFailed) as error:
        if isinstance(error, StartupFailed) and error.details:
            print(error.details.rstrip(), file=sys.stderr)
        print(f"fastserver: error: {error}", file=sys.stderr)
        return ExitCode.NOT_STARTED
    print("configuration is fine")
    return ExitCode.OK
