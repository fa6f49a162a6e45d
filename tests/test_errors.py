"""Code of plugins is kept from standard output and from ending the process, in any number of threads."""

from __future__ import annotations

import sys
from threading import Barrier, Thread

import pytest

from dsum_bench.errors import Terminated, ending_reason, plugin_code


def test_standard_output_is_back_when_threads_leave_in_another_order(capsys: pytest.CaptureFixture[str]) -> None:
    came, first_left = Barrier(2), Barrier(2)

    def first() -> None:
        with plugin_code():
            came.wait(60)
            print("first")
        first_left.wait(60)

    def second() -> None:
        with plugin_code():
            came.wait(60)
            first_left.wait(60)
            print("second")

    threads = [Thread(target=first), Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    print("after")
    out, err = capsys.readouterr()
    assert out == "after\n"
    assert sorted(err.split()) == ["first", "second"]


def test_a_plugin_that_exits_has_failed_and_ctrl_c_goes_through() -> None:
    with pytest.raises(RuntimeError, match=r"it called sys.exit\('no'\)"), plugin_code():
        sys.exit("no")
    with pytest.raises(KeyboardInterrupt), plugin_code():
        raise Terminated(15)


def test_why_a_run_was_interrupted() -> None:
    assert ending_reason(Terminated(15)) == "interrupted by SIGTERM; the same command resumes it"
    assert ending_reason(KeyboardInterrupt()) == "interrupted; the same command resumes it"
    assert ending_reason(OSError("one\ntwo")) == "OSError: one"
