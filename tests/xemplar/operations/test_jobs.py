"""Jobs outlive their workers, and no two workers ever have the same one."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from xemplar.catalog import Catalog
from xemplar.errors import NotFound
from xemplar.operations.jobs import LOG_LINES, Job, JobLost, Jobs, JobState

DEAD = timedelta(seconds=-1)
"""A lease that has lapsed as soon as it is given."""


@pytest.fixture
def jobs(catalog: Catalog) -> Jobs:
    return Jobs(catalog.engine)


@pytest.fixture
def dying(catalog: Catalog) -> Jobs:
    """Whose workers are dead as soon as they have a job."""
    return Jobs(catalog.engine, DEAD)


def claimed(jobs: Jobs, job_id: str, worker: str = "one") -> Job:
    job = jobs.claim(job_id, worker)
    assert job is not None
    return job


def test_a_job_is_queued_run_and_done(jobs: Jobs) -> None:
    job = jobs.create("reindex", {"checkpoint": "1" * 64})
    assert (job.state, len(job.id), job.attempts, job.total) == (JobState.QUEUED, 16, 0, None)
    assert jobs.waiting() == (job.id,)
    running = claimed(jobs, job.id)
    assert (running.state, running.attempts, running.worker) == (JobState.RUNNING, 1, "one")
    assert jobs.waiting() == ()
    assert jobs.renew(running, 3, 10, ("hello",)) is False
    seen = jobs.job(job.id)
    assert (seen.done, seen.total) == (3, 10)
    assert seen.log[-1].endswith(" hello")
    assert seen.started_at is not None
    end = seen.expected_end(seen.started_at + timedelta(seconds=30))
    assert end == seen.started_at + timedelta(seconds=100)
    jobs.finish(running, {"generation": "new"})
    done = jobs.job(job.id)
    assert (done.state, done.result, done.parameters) == (
        JobState.DONE,
        {"generation": "new"},
        {"checkpoint": "1" * 64},
    )
    assert done.finished_at is not None
    assert done.expected_end() is None
    assert jobs.newest() == (done,)


def test_of_many_workers_one_gets_the_job(jobs: Jobs) -> None:
    for _ in range(5):
        job = jobs.create("reindex", {})
        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda n, job=job: jobs.claim(job.id, f"{n}"), range(8)))
        assert sum(one is not None for one in got) == 1


def test_a_job_of_a_dead_worker_is_taken_up_again(jobs: Jobs, dying: Jobs) -> None:
    job = dying.create("reindex", {})
    dead = claimed(dying, job.id, "dead")
    assert jobs.waiting() == (job.id,)
    alive = claimed(jobs, job.id, "alive")
    assert (alive.attempts, alive.worker, alive.done) == (2, "alive", 0)
    assert any("worker dead stopped before the end" in line for line in alive.log)
    for late in (
        lambda: dying.renew(dead, 5, 10),
        lambda: dying.finish(dead, {}),
        lambda: dying.fail(dead, "late"),
        lambda: dying.stop(dead),
        lambda: dying.release(dead),
    ):
        with pytest.raises(JobLost, match="no longer worker dead's"):
            late()
    assert jobs.job(job.id) == alive


def test_a_worker_that_was_only_slow_keeps_its_job_if_nobody_took_it(dying: Jobs) -> None:
    job = claimed(dying, dying.create("reindex", {}).id)
    assert dying.renew(job, 1, 2) is False
    dying.finish(job, {})
    assert dying.job(job.id).state is JobState.DONE


def test_the_same_worker_does_not_hold_an_attempt_that_lapsed(dying: Jobs) -> None:
    job = dying.create("reindex", {})
    first = claimed(dying, job.id)
    claimed(dying, job.id)
    with pytest.raises(JobLost):
        dying.renew(first, 1, 2)


def test_after_three_deaths_a_job_has_failed(dying: Jobs) -> None:
    job = dying.create("reindex", {})
    for attempt in (1, 2, 3):
        assert claimed(dying, job.id).attempts == attempt
    assert dying.claim(job.id, "fourth") is None
    failed = dying.job(job.id)
    assert failed.state is JobState.FAILED
    assert "3 workers died" in str(failed.error)
    assert dying.waiting() == ()


def test_a_job_that_is_given_back_has_lost_no_attempt(jobs: Jobs) -> None:
    job = jobs.create("reindex", {})
    for _ in range(5):
        running = claimed(jobs, job.id)
        assert running.attempts == 1
        jobs.release(running)
        assert jobs.waiting() == (job.id,)
        with pytest.raises(JobLost):
            jobs.renew(running, 1, 1)


def test_a_queued_job_is_cancelled_at_once(jobs: Jobs) -> None:
    job = jobs.create("reindex", {})
    assert jobs.cancel(job.id).state is JobState.CANCELLED
    assert jobs.claim(job.id, "one") is None


def test_a_running_job_is_told_to_stop(jobs: Jobs) -> None:
    job = claimed(jobs, jobs.create("reindex", {}).id)
    asked = jobs.cancel(job.id)
    assert (asked.state, asked.cancel) == (JobState.RUNNING, True)
    assert jobs.renew(job, 1, 2) is True
    jobs.stop(job)
    assert jobs.job(job.id).state is JobState.CANCELLED


def test_a_dead_workers_job_is_cancelled_at_once(jobs: Jobs, dying: Jobs) -> None:
    job = claimed(dying, dying.create("reindex", {}).id)
    assert jobs.cancel(job.id).state is JobState.CANCELLED
    with pytest.raises(JobLost):
        dying.renew(job, 1, 2)


def test_a_job_whose_worker_died_after_it_was_told_to_stop_is_not_begun_again(
    jobs: Jobs, dying: Jobs
) -> None:
    job = claimed(jobs, jobs.create("reindex", {}).id)
    assert jobs.cancel(job.id).state is JobState.RUNNING
    assert dying.renew(job, 1, 2) is True
    assert jobs.claim(job.id, "two") is None
    assert jobs.job(job.id).state is JobState.CANCELLED


def test_what_has_ended_stays_as_it_ended(jobs: Jobs) -> None:
    job = claimed(jobs, jobs.create("reindex", {}).id)
    jobs.fail(job, "no images")
    for _ in range(2):
        ended = jobs.cancel(job.id)
        assert (ended.state, ended.error, ended.cancel) == (JobState.FAILED, "no images", False)


def test_the_newest_lines_of_a_long_log_are_kept(jobs: Jobs) -> None:
    job = claimed(jobs, jobs.create("reindex", {}).id)
    jobs.renew(job, 0, None, tuple(f"line {n}" for n in range(2 * LOG_LINES)))
    log = jobs.job(job.id).log
    assert len(log) == LOG_LINES
    assert log[-1].endswith(f"line {2 * LOG_LINES - 1}")


def test_an_unknown_job(jobs: Jobs) -> None:
    for ask in (jobs.job, jobs.cancel):
        with pytest.raises(NotFound, match="no job 'nothing'"):
            ask("nothing")
    assert jobs.claim("nothing", "one") is None
