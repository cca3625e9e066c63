"""Becoming another user, in children of the test: only root can, and nobody can take it back."""

import os
import pwd
import stat
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.processes import privileges
from fastserver.processes.privileges import Identity, drop_privileges, hand_over_logs, resolve_identity

NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
#: A number that no account has.
STRANGER = 54321


def run_in_child(act: Callable[[], object]) -> str:
    """What ``act`` gives in a child process, as text; or the error that it raises."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            text = str(act())
        except ConfigError as error:
            text = str(error)
        except BaseException:
            text = traceback.format_exc()
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    assert os.waitpid(child, 0)[1] == 0
    return text


def become(user: str | None, group: str | None = None) -> Identity:
    identity = resolve_identity(user, group)
    assert identity is not None
    drop_privileges(identity)
    return identity


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """This Python may be one that nobody can read."""
    monkeypatch.setattr(privileges, "_check_library", lambda identity: None)


def test_neither_is_nothing_to_do() -> None:
    assert resolve_identity(None, None) is None


@as_root
@pytest.mark.parametrize("user", ["nobody", str(NOBODY.pw_uid)])
def test_a_user_brings_its_groups_and_its_home(user: str) -> None:
    def act() -> object:
        become(user)
        names = [os.environ[key] for key in ("HOME", "USER", "LOGNAME")]
        return os.getresuid(), os.getresgid(), sorted(os.getgroups()), names

    groups = sorted(os.getgrouplist("nobody", NOBODY.pw_gid))
    uids, gids = (NOBODY.pw_uid,) * 3, (NOBODY.pw_gid,) * 3
    assert run_in_child(act) == str((uids, gids, groups, [NOBODY.pw_dir, "nobody", "nobody"]))


@as_root
def test_numbers_that_nobody_has() -> None:
    def act() -> object:
        become(str(STRANGER), "12345")
        return os.getresuid(), os.getresgid(), os.getgroups(), os.environ.get("HOME") == home

    home = os.environ.get("HOME")
    assert run_in_child(act) == str(((STRANGER,) * 3, (12345,) * 3, [12345], True))


@as_root
def test_a_group_alone_leaves_the_user() -> None:
    def act() -> object:
        become(None, "12345")
        return os.getresuid(), os.getresgid(), os.getgroups()

    assert run_in_child(act) == str(((0, 0, 0), (12345,) * 3, [12345]))


@as_root
def test_a_group_goes_over_that_of_the_user() -> None:
    def act() -> object:
        identity = become("nobody", "daemon")
        return os.getresgid() == (identity.gid,) * 3, identity.gid in os.getgroups(), 0 in os.getgroups()

    assert run_in_child(act) == "(True, True, False)"


@as_root
def test_there_is_no_way_back() -> None:
    def act() -> object:
        become("nobody")
        failed = []
        calls: list[Callable[[], None]] = [partial(os.setuid, 0), partial(os.seteuid, 0), partial(os.setgid, 0)]
        calls.append(partial(os.setgroups, [0]))
        for call in calls:
            try:
                call()
            except PermissionError:
                failed.append(True)
        return len(failed), os.access("/etc/shadow", os.R_OK)

    assert run_in_child(act) == "(4, False)"


@as_root
def test_a_way_back_that_is_open_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system call that quietly does less is found out."""
    problem = f"user: after becoming user nobody, group {NOBODY.pw_gid} the way back to root is open"
    with monkeypatch.context() as patched:
        patched.setattr(os, "setuid", os.seteuid)  # the saved number stays root's
        assert run_in_child(lambda: become("nobody")) == problem
    with monkeypatch.context() as patched:
        patched.setattr(os, "initgroups", lambda name, gid: os.setgroups([gid, 0]))
        assert run_in_child(lambda: become("nobody")) == problem
    with monkeypatch.context() as patched:
        patched.setattr(os, "setuid", lambda uid: None)
        assert run_in_child(lambda: become("nobody")) == problem


@pytest.mark.parametrize(
    ("user", "group", "problem"),
    [
        ("no_such_user", None, "user: there is no user 'no_such_user'"),
        (str(STRANGER), None, f"user: number {STRANGER} is no user that is known here, so want group too"),
        ("99999999999", None, "user: there is no user '99999999999'"),
        (str((1 << 32) - 1), None, "user: there is no user '4294967295'"),
        ("nobody", "no_such_group", "group: there is no group 'no_such_group'"),
        (None, "-1", "group: there is no group '-1'"),
    ],
)
def test_who_is_unknown_is_told(user: str | None, group: str | None, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_identity(user, group)
    assert str(caught.value) == problem


@as_root
def test_only_root_can_become_another() -> None:
    def act(user: str | None, group: str | None) -> Callable[[], object]:
        def ask() -> object:
            os.setgid(12345)
            os.setuid(STRANGER)
            return resolve_identity(user, group)

        return ask

    assert run_in_child(act("nobody", None)) == ("user: only root can become 'nobody': start as root, or leave it out")
    assert run_in_child(act(None, "daemon")) == "group: only root can become 'daemon': start as root, or leave it out"
    assert run_in_child(act(str(STRANGER), "12345")) == "None"  # it is so already
    assert run_in_child(act(None, "12345")) == "None"


def test_what_the_system_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*numbers: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setgroups", refuse)  # as in a user namespace where it is denied
    with pytest.raises(ConfigError) as caught:
        drop_privileges(Identity(STRANGER, 12345))
    assert str(caught.value) == (
        f"user: the system does not let this process become user {STRANGER}, group 12345: Operation not permitted"
    )


@as_root
def test_a_library_out_of_reach_is_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    path = tmp_path / "lib" / "os.py"
    path.parent.mkdir(mode=0o700)
    path.touch()
    monkeypatch.setattr(os, "__file__", str(path))
    told = run_in_child(lambda: become("nobody"))
    assert told == f"user: 'nobody' cannot read the Python modules in {path.parent}"


# Logs.


@as_root
def test_new_log_files_are_given_away_and_old_ones_kept(tmp_path: Path) -> None:
    old, new, link = tmp_path / "old.log", tmp_path / "new.log", tmp_path / "link.log"
    old.write_text("line\n")
    link.symlink_to("target.log")
    identity = Identity(STRANGER, 12345)
    hand_over_logs(Config(error_logfile=str(new), access_logfile=str(old), access_log=True), identity)
    hand_over_logs(Config(error_logfile=str(link), access_logfile=str(tmp_path / "none.log")), identity)
    hand_over_logs(Config(error_logfile=str(tmp_path / "no" / "directory")), identity)
    found = os.stat(new)
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode) & 0o600) == (STRANGER, 12345, 0o600)
    assert (os.stat(old).st_uid, old.read_text()) == (0, "line\n")
    assert sorted(os.listdir(tmp_path)) == ["link.log", "new.log", "old.log"]
