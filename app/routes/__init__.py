"""Routes of the service, by subject."""

from itertools import chain

from . import (
    admin,
    cases,
    changes,
    collections,
    docs,
    generations,
    jobs,
    keys,
    operation,
    page,
    queries,
    query_images,
    ratings,
    readers,
)

ROUTERS = (
    queries.router,
    query_images.router,
    cases.router,
    ratings.router,
    readers.router,
    collections.router,
    changes.router,
    jobs.router,
    generations.router,
    keys.router,
    ratings.export,
    readers.export,
    collections.giving,
    admin.router,
    operation.router,  # open to all, except the metrics
    page.router,
    docs.router,
)

ROUTES = tuple(chain.from_iterable(router.routes for router in ROUTERS))
"""All of them, complete: a router that is included is built again with each application."""

__all__ = ["ROUTES"]
