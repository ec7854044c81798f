"""What is removed is gone from the disk, too: embedding and maps, in every file of the store."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update
from xemplar_indexer.purge import purge

from tests.agreement import PATIENCE, wait_until
from tests.indexer.test_reindex import Quiet, unused
from tests.stores import CASES, SmallStore
from xemplar.archive.media import Media
from xemplar.catalog import Case, Catalog
from xemplar.catalog.tables import JobRow, RemovalRow
from xemplar.errors import NothingIndexed
from xemplar.index import current, generations, open_generation, publish
from xemplar.indexing.publishing import build_generation
from xemplar.model.checkpoint import Checkpoint
from xemplar.operations.jobs import Jobs, JobState
from xemplar.operations.removals import PURGE, PurgeBacklog, is_late, purge_backlog, queue_purge
from xemplar.retrieval.ingest import delete_case

DAY = 24.0


def removed(own: SmallStore, catalog: Catalog, checkpoint: Checkpoint, count: int = 1) -> Case:
    """Remove so many cases; the first of them."""
    cases = catalog.page(checkpoint.digest, limit=count)
    for case in cases:
        delete_case(case.case_id, catalog, Media(own.store.media))
    return cases[0]


def names(own: SmallStore) -> list[str]:
    return [one.name for one in generations(own.store)]


SEARCH = """
import pathlib, sys
root, *traces = sys.argv[1:]
for path in pathlib.Path(root).rglob("*"):
    if path.is_file() and any(bytes.fromhex(trace) in path.read_bytes() for trace in traces):
        print(path.relative_to(root))
"""


def holding(own: SmallStore, traces: tuple[bytes, ...]) -> set[str]:
    """Files of the store that hold one of some bytes.

    Read by another process: one that closes a database's file loses its locks on it.
    """
    command = [sys.executable, "-c", SEARCH, str(own.store.root), *(one.hex() for one in traces)]
    return {*subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()}


def test_a_worker_leaves_no_byte_of_a_removed_embedding_on_the_disk(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint
) -> None:
    old = current(own.store)
    live = build_generation(own.store, catalog, checkpoint).name
    (case, *_) = catalog.page(checkpoint.digest)
    batch = next(catalog.vectors_of(checkpoint.digest, [case.id]))
    traces = (batch.vectors.tobytes(), batch.cams.tobytes())
    held = holding(own, traces)
    for name in (old, live):
        assert {f"generations/{name}/vectors.npy", f"generations/{name}/cams.npy"} <= held
    assert "catalog.sqlite" in held
    removed(own, catalog, checkpoint)
    assert queue_purge(own.store, catalog, DAY).generations == (old, live)
    (job,) = Jobs(catalog.engine).newest()
    command = [sys.executable, "-m", "xemplar", "worker", "--store", str(own.store.root)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("XEMPLAR")}
    worker = subprocess.Popen([*command, "--checkpoint", str(own.checkpoint)], env=env)
    try:
        wait_until(lambda: Jobs(catalog.engine).job(job.id).finished_at is not None)
        worker.send_signal(signal.SIGINT)
        assert worker.wait(PATIENCE) == 0
    finally:
        worker.kill()
        worker.wait()
    done = Jobs(catalog.engine).job(job.id)
    assert (done.state, done.result) == (JobState.DONE, {"deleted": [old, live]}), done.error
    assert holding(own, traces) == set()
    assert names(own) == [current(own.store)]
    assert len(open_generation(own.store, checkpoint)) == CASES - 1
    assert purge_backlog(own.store, catalog) == PurgeBacklog()


def test_a_generation_that_holds_no_removed_case_stays_to_go_back_to(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint
) -> None:
    first = current(own.store)
    removed(own, catalog, checkpoint)
    clean = [build_generation(own.store, catalog, checkpoint).name for _ in range(2)]
    assert purge_backlog(own.store, catalog).generations == (first,)
    assert purge(own.store, catalog, checkpoint, unused, Quiet()) == (first,)
    assert names(own) == sorted(clean)
    assert current(own.store) == clean[-1]


def test_going_back_to_a_generation_with_a_removed_case_is_purged_again(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint
) -> None:
    first = current(own.store)
    removed(own, catalog, checkpoint)
    build_generation(own.store, catalog, checkpoint)
    publish(own.store, first)
    assert purge(own.store, catalog, checkpoint, unused, Quiet()) == (first,)
    assert current(own.store) != first


def test_a_damaged_generation_may_hold_anything_and_is_deleted(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint
) -> None:
    first = current(own.store)
    removed(own, catalog, checkpoint)
    build_generation(own.store, catalog, checkpoint)
    (own.store.generations / first / "ids.npy").write_bytes(b"no array")
    assert purge(own.store, catalog, checkpoint, unused, Quiet()) == (first,)


def test_the_last_case_stays_in_the_index_and_that_is_told(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint
) -> None:
    removed(own, catalog, checkpoint, CASES)
    with pytest.raises(NothingIndexed, match="add another image, or delete"):
        purge(own.store, catalog, checkpoint, unused, Quiet())


def test_a_watcher_that_stops_it_leaves_all_as_it_was(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint
) -> None:
    class Stopping(Quiet):
        def confirm(self) -> None:
            raise InterruptedError

    before = names(own)
    removed(own, catalog, checkpoint)
    with pytest.raises(InterruptedError):
        purge(own.store, catalog, checkpoint, unused, Stopping())
    assert names(own) == before


# ---- one job for many removals -------------------------------------------------------------------


def made(catalog: Catalog, state: JobState, ago: timedelta) -> None:
    """Let all jobs be of a state, and created so long ago."""
    with catalog.engine.begin() as connection:
        values = {"state": state.value, "created_at": datetime.now(UTC) - ago}
        connection.execute(update(JobRow).values(values))


def test_nothing_is_queued_where_nothing_was_removed(own: SmallStore, catalog: Catalog) -> None:
    assert queue_purge(own.store, catalog, DAY) == PurgeBacklog()
    assert Jobs(catalog.engine).newest() == ()


@pytest.mark.parametrize(
    ("state", "ago", "jobs"),
    [
        (JobState.QUEUED, timedelta(days=9), 1),
        (JobState.RUNNING, timedelta(days=9), 1),
        (JobState.DONE, timedelta(hours=23), 1),
        (JobState.DONE, timedelta(hours=25), 2),
        (JobState.FAILED, timedelta(minutes=50), 1),
        (JobState.FAILED, timedelta(minutes=70), 2),
        (JobState.CANCELLED, timedelta(minutes=70), 2),
    ],
)
def test_one_job_is_for_all_removals_of_a_day(
    own: SmallStore,
    catalog: Catalog,
    checkpoint: Checkpoint,
    state: JobState,
    ago: timedelta,
    jobs: int,
) -> None:
    removed(own, catalog, checkpoint, 3)
    queue_purge(own.store, catalog, DAY)
    assert [job.kind for job in Jobs(catalog.engine).newest()] == [PURGE]
    made(catalog, state, ago)
    removed(own, catalog, checkpoint)
    queue_purge(own.store, catalog, DAY)
    assert len(Jobs(catalog.engine).newest()) == jobs


def test_the_first_of_the_removals_tells_what_is_late(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint
) -> None:
    assert not is_late(purge_backlog(own.store, catalog), DAY)
    first = removed(own, catalog, checkpoint, 2)
    assert not is_late(purge_backlog(own.store, catalog), DAY)
    then = datetime.now(UTC) - timedelta(hours=26)
    with catalog.engine.begin() as connection:
        mine = RemovalRow.case == first.id
        connection.execute(update(RemovalRow).where(mine).values(removed_at=then))
    left = purge_backlog(own.store, catalog)
    assert left.since == then
    assert is_late(left, DAY)
    assert not is_late(left, 2 * DAY)
