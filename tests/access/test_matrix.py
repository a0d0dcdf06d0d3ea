"""The whole authorisation matrix: every kind of credential, set of scopes and list of models against every request."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Awaitable, Callable

import pytest

from lingting.access import InvalidCredential, MissingScope, ModelForbidden, UserToken
from lingting.access.principal import ALL_SCOPES
from lingting.access.tokens import TokenClaims, encode
from tests.access.door import Door

pytestmark = pytest.mark.anyio

SCOPE_SETS = [scopes for count in range(1, len(ALL_SCOPES) + 1) for scopes in itertools.combinations(ALL_SCOPES, count)]
MODEL_LISTS = [None, ("whisper-base",), ("x-asr", "whisper-base"), ("x-asr",)]
MODELS = ["whisper-base", "x-asr", "never-heard-of"]


async def valid_key(door: Door, **fields: object) -> str:
    return door.key(**fields).key


async def valid_token(door: Door, **fields: object) -> str:
    return await door.token(door.app(**fields))


async def key_in_grace(door: Door, **fields: object) -> str:
    made = door.key(**fields)
    door.operator.rotate_key(made.record.id, grace_seconds=60)
    return made.key


async def token_in_grace(door: Door, **fields: object) -> str:
    made = door.app(**fields)
    token = await door.token(made)
    door.operator.rotate_app(made.app.id, grace_seconds=60)
    return token


async def disabled_key(door: Door, **fields: object) -> str:
    made = door.key(**fields)
    door.operator.set_key_disabled(made.record.id, True)
    return made.key


async def rotated_key(door: Door, **fields: object) -> str:
    made = door.key(**fields)
    door.operator.rotate_key(made.record.id)
    return made.key


async def deleted_key(door: Door, **fields: object) -> str:
    made = door.key(**fields)
    door.operator.delete_key(made.record.id)
    return made.key


async def expired_key(door: Door, **fields: object) -> str:
    made = door.key(**fields, expires_at=door.clock() + 1)
    door.clock.turn(1)
    return made.key


async def token_of_disabled_app(door: Door, **fields: object) -> str:
    made = door.app(**fields)
    token = await door.token(made)
    door.operator.set_app_disabled(made.app.id, True)
    return token


async def token_of_rotated_app(door: Door, **fields: object) -> str:
    made = door.app(**fields)
    token = await door.token(made)
    door.operator.rotate_app(made.app.id)
    return token


async def token_of_deleted_app(door: Door, **fields: object) -> str:
    made = door.app(**fields)
    token = await door.token(made)
    door.operator.delete_app(made.app.id)
    return token


async def token_of_expired_app(door: Door, **fields: object) -> str:
    made = door.app(**fields, expires_at=door.clock() + 1)
    token = await door.token(made)
    door.clock.turn(1)
    return token


async def expired_token(door: Door, **fields: object) -> str:
    token = await door.token(door.app(**fields))
    door.clock.turn(7261)
    return token


async def forged_token(door: Door, **fields: object) -> str:
    made = door.app(**fields)
    return encode(TokenClaims(made.app.id, 1, int(door.clock())), b"not the signing key")


async def key_of_disabled_tenant(door: Door, **fields: object) -> str:
    tenant = door.operator.create_tenant(uuid.uuid4().hex)
    made = door.key(**fields, tenant=tenant.id)
    door.operator.set_tenant_disabled(tenant.id, True)
    return made.key


async def key_of_deleted_tenant(door: Door, **fields: object) -> str:
    tenant = door.operator.create_tenant(uuid.uuid4().hex)
    made = door.key(**fields, tenant=tenant.id)
    door.operator.delete_tenant(tenant.id)
    return made.key


async def app_secret_as_bearer(door: Door, **fields: object) -> str:
    return door.app(**fields).app_secret


async def user_token(door: Door, **fields: object) -> str:
    return "u-" + door.app(**fields).app_secret


Make = Callable[..., Awaitable[str]]
LET_IN: list[Make] = [valid_key, valid_token, key_in_grace, token_in_grace]
SHUT_OUT: list[Make] = [
    disabled_key,
    rotated_key,
    deleted_key,
    expired_key,
    token_of_disabled_app,
    token_of_rotated_app,
    token_of_deleted_app,
    token_of_expired_app,
    expired_token,
    forged_token,
    key_of_disabled_tenant,
    key_of_deleted_tenant,
    app_secret_as_bearer,
]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The rules do not depend on the database."""
    return sqlite_url


async def passes(door: Door, bearer: str, scope: str, model: str) -> str:
    """What a request gets that needs a scope and names a model."""
    try:
        who = await door.access.authenticate(bearer)
        who.require(scope)
        who.may_use(model)
    except (InvalidCredential, UserToken, MissingScope, ModelForbidden) as error:
        return type(error).__name__
    return "passes"


@pytest.mark.parametrize("make", LET_IN)
async def test_a_good_credential_passes_exactly_with_the_scope_and_the_model(door: Door, make: Make) -> None:
    wrong: list[object] = []
    for scopes, models in itertools.product(SCOPE_SETS, MODEL_LISTS):
        bearer = await make(door, scopes=scopes, models=models)
        for scope, model in itertools.product(ALL_SCOPES, MODELS):
            if scope not in scopes:
                expected = "MissingScope"
            elif models is not None and model not in models:
                expected = "ModelForbidden"
            else:
                expected = "passes"
            if (got := await passes(door, bearer, scope, model)) != expected:
                wrong.append((scopes, models, scope, model, got))
    assert wrong == []


@pytest.mark.parametrize("make", SHUT_OUT)
async def test_a_bad_credential_passes_nowhere_whatever_it_could_do(door: Door, make: Make) -> None:
    for models in MODEL_LISTS:
        bearer = await make(door, scopes=ALL_SCOPES, models=models)
        answers = {await passes(door, bearer, scope, model) for scope in ALL_SCOPES for model in MODELS}
        assert answers == {"InvalidCredential"}


async def test_a_user_token_passes_nowhere(door: Door) -> None:
    bearer = await user_token(door, scopes=ALL_SCOPES)
    assert {await passes(door, bearer, scope, "whisper-base") for scope in ALL_SCOPES} == {"UserToken"}


async def test_a_refusal_names_what_was_missing(door: Door) -> None:
    who = await door.access.authenticate(door.key(scopes=("audio:flash",), models=("x-asr",)).key)
    with pytest.raises(MissingScope) as scope:
        who.require("operator")
    with pytest.raises(ModelForbidden) as model:
        who.may_use("whisper-base")
    assert (scope.value.scope, model.value.model) == ("operator", "whisper-base")
    assert "operator" in str(scope.value)
    assert "whisper-base" in str(model.value)


async def test_credentials_get_no_operator_scope_by_default(door: Door) -> None:
    who = await door.access.authenticate(door.key().key)
    with pytest.raises(MissingScope):
        who.require("operator")
