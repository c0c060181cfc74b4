# SPDX-License-Identifier: Apache-2.0
import io
import threading

import pytest

from lab.plan import Plan, StepFailedError
from lab.progress import Progress


@pytest.fixture
def plan():
    return Plan(Progress(io.StringIO()))


def test_a_step_begins_only_after_all_it_needs(plan):
    done = []
    plan.add("roof", lambda: done.append("roof"), ["walls", "beams"])
    plan.add("walls", lambda: done.append("walls"), ["ground"])
    plan.add("beams", lambda: done.append("beams"))
    plan.add("ground", lambda: done.append("ground"))
    plan.execute()
    assert set(done) == {"roof", "walls", "beams", "ground"}
    assert done[-1] == "roof"
    assert done.index("ground") < done.index("walls")


def test_steps_that_need_nothing_of_each_other_run_at_the_same_time(plan):
    meeting = threading.Barrier(2, timeout=20)
    plan.add("a", meeting.wait)
    plan.add("b", meeting.wait)
    plan.execute()  # alone, either would wait until the barrier breaks


def test_a_failure_is_named_and_nothing_is_begun_after_it(plan):
    begun = []

    def fail():
        raise OSError("no room")

    plan.add("bad", fail)
    plan.add("later", lambda: begun.append("later"), ["bad"])
    with pytest.raises(StepFailedError, match="bad: no room"):
        plan.execute()
    assert begun == []


def test_a_circle_is_refused_before_anything_runs(plan):
    begun = []
    plan.add("free", lambda: begun.append("free"))
    plan.add("a", lambda: None, ["b"])
    plan.add("b", lambda: None, ["a"])
    with pytest.raises(ValueError, match="wait for each other"):
        plan.execute()
    assert begun == []


def test_a_need_that_no_step_fulfils_is_refused(plan):
    plan.add("a", lambda: None, ["b"])
    with pytest.raises(ValueError, match="no step provides"):
        plan.execute()


def test_a_name_is_given_once(plan):
    plan.add("a", lambda: None)
    with pytest.raises(ValueError, match="two steps"):
        plan.add("a", lambda: None)
