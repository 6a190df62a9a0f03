"""The peer of app/routes/orders.lua: the same models and the same answer in FastAPI."""
from enum import Enum

from fastapi import FastAPI
from pydantic import BaseModel, Field

app = FastAPI()


class Size(str, Enum):
    s = "s"
    m = "m"
    l = "l"  # noqa: E741


class Address(BaseModel):
    street: str = Field(min_length=1)
    city: str = Field(min_length=1)
    zip: str = Field(min_length=5, max_length=5)


class Order(BaseModel):
    name: str = Field(min_length=1, max_length=64)
    price: float = Field(gt=0)
    count: int = Field(ge=1, le=100)
    size: Size
    gift: bool
    tags: list[str]
    address: Address


class Placed(BaseModel):
    id: int
    name: str
    total: float
    size: Size
    gift: bool
    tags: list[str]
    address: Address


@app.get("/json")
async def ready():
    return {}


@app.post("/orders/declared", response_model=Placed)
async def place(order: Order):
    return {"id": 7, "name": order.name, "total": order.price * order.count, "size": order.size, "gift": order.gift,
            "tags": order.tags, "address": order.address}
