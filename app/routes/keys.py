"""Routes of API keys, equivalent to ``xemplar keys``."""

from http import HTTPStatus
from typing import Annotated

from anyio import to_thread
from fastapi import Path, Request, status

from xemplar.api import KeyList, KeyOut, NewKey, NewKeyOut
from xemplar.api.examples import KEY_ID
from xemplar.errors import InvalidArgument

from ..admission import admin
from ..problems import described
from ..record import record_of
from ..security import guard_of
from ..service import BoundServices
from .common import INVALID, NO_JSON, api_router

router = api_router("administration", admin)

KeyId = Annotated[
    str, Path(pattern="^[0-9a-f]{16}$", description="As GET /keys lists it.", examples=[KEY_ID])
]

NO_KEY = described(HTTPStatus.NOT_FOUND, "No such valid key.")


@router.get("/keys")
async def keys(services: BoundServices) -> KeyList:
    """List all keys, including revoked ones; their secrets are not stored."""
    found = await to_thread.run_sync(services.keys.list)
    return KeyList(keys=[KeyOut(**vars(key)) for key in found])


@router.post(
    "/keys",
    summary="Make a key",
    status_code=status.HTTP_201_CREATED,
    responses=NO_JSON | INVALID,
)
async def create_key(request: Request, services: BoundServices, asked: NewKey) -> NewKeyOut:
    """Create a key; only this response has its secret. The first key ends access without one."""
    key, secret = await to_thread.run_sync(
        lambda: services.keys.create(
            asked.name,
            asked.role,
            sources=asked.sources,
            expires_at=asked.expires_at,
            audit=False,
        )
    )
    await guard_of(request).ring.renew()
    record = record_of(request)
    record.subject, record.details = key.id, {"role": {"old": None, "new": key.role}}
    return NewKeyOut(**vars(key), secret=secret)


@router.post("/keys/{key_id}/revoke", summary="Revoke a key", responses=NO_KEY | INVALID)
async def revoke_key(request: Request, services: BoundServices, key_id: KeyId) -> KeyOut:
    """Revoke a key for good, within two seconds. A key cannot revoke itself, to prevent lockout."""
    if key_id == record_of(request).key:
        raise InvalidArgument(
            "this is the key that asks; use another key of role admin, or `xemplar keys revoke`"
        )
    revoked = await to_thread.run_sync(lambda: services.keys.revoke(key_id, audit=False))
    await guard_of(request).ring.renew()
    return KeyOut(**vars(revoked))
