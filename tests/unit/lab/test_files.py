# SPDX-License-Identifier: Apache-2.0
import os
import stat
import threading

from lab.cloud import Lab
from lab.credentials import Credentials
from lab.ini import write_ini, write_private


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_configuration_is_its_owners_only_even_under_a_wide_umask(tmp_path):
    before = os.umask(0)
    try:
        write_ini(tmp_path / "a" / "x.conf", {"DEFAULT": {"on": True, "count": 3}, "empty": {}})
    finally:
        os.umask(before)
    assert mode(tmp_path / "a" / "x.conf") == 0o600
    assert (tmp_path / "a" / "x.conf").read_text() == "[DEFAULT]\non = true\ncount = 3\n\n[empty]\n"


def test_writing_again_leaves_one_file_with_the_new_content(tmp_path):
    write_private(tmp_path / "x", "long, old content")
    write_private(tmp_path / "x", "new", 0o644)
    assert (tmp_path / "x").read_text() == "new"
    assert mode(tmp_path / "x") == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_password_stays_what_it_was_and_belongs_to_one_name(tmp_path):
    first = Credentials(tmp_path / "credentials.json")
    password = first.password("nova")
    assert first.password("glance") != password
    assert Credentials(tmp_path / "credentials.json").password("nova") == password
    assert mode(tmp_path / "credentials.json") == 0o600


def test_threads_that_ask_at_once_get_the_same_password(tmp_path):
    credentials = Credentials(tmp_path / "credentials.json")
    got = []
    threads = [threading.Thread(target=lambda: got.append(credentials.password("x"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert len(set(got)) == 1


def test_rooms_of_all_labs_are_told_apart_by_their_markers(tmp_path):
    labs = [Lab(tmp_path / "one"), Lab(tmp_path / "two")]
    markers = [room.marker for lab in labs for room in lab.rooms()]
    assert len(set(markers)) == len(markers)
    assert not any(character.isspace() for marker in markers for character in marker)


def test_the_directory_comes_from_argument_or_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SV2M_LAB_DIR", str(tmp_path / "env"))
    assert Lab.load().directory == tmp_path / "env"
    assert Lab.load(tmp_path / "given").directory == tmp_path / "given"
