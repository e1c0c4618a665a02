"""Contacts in FastAPI on aiopg, written the way its first users did: no models, no serializer but FastAPI's own."""

import os
from contextlib import asynccontextmanager

import aiopg
from fastapi import Body, FastAPI, HTTPException

FIELDS = ("id", "firstname", "lastname", "phone", "email")
CONTACT = "SELECT id, firstname, lastname, phone, email FROM contact WHERE id = %s"
LIST = "SELECT id, firstname, lastname, phone, email FROM contact ORDER BY id"
WRITE = "UPDATE contact SET phone = %s WHERE id = %s RETURNING id, firstname, lastname, phone, email"


@asynccontextmanager
async def lifespan(app):
    size = int(os.environ["POOL"])
    async with aiopg.create_pool(os.environ["DATABASE_URL"], minsize=size, maxsize=size) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


async def fetch(statement, *values):
    async with app.state.pool.acquire() as connection:
        async with connection.cursor() as cursor:
            await cursor.execute(statement, values)
            return [dict(zip(FIELDS, row)) for row in await cursor.fetchall()]


def only(found):
    if not found:
        raise HTTPException(404)
    return found[0]


@app.get("/contacts/{contact_id}")
async def contact(contact_id: int):
    return only(await fetch(CONTACT, contact_id))


@app.get("/contacts")
async def contacts():
    return await fetch(LIST)


@app.put("/contacts/{contact_id}")
async def write(contact_id: int, phone: str = Body(embed=True)):
    return only(await fetch(WRITE, phone, contact_id))
