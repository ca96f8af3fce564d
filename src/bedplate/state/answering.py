"""Errors that answer a request by themselves, wherever in it they are raised."""

from __future__ import annotations

from typing import ClassVar

from starlette.exceptions import HTTPException

__all__ = ["Answering"]


class Answering(HTTPException):
    """Mixed into an error of ours, it makes FastAPI and Starlette answer with its status instead of 500.

    Anywhere else it is the error that it is mixed into. It comes after it among the bases.
    """

    status: ClassVar[int] = 503
    #: What the client may know.
    answer: ClassVar[str] = ""

    def __init__(self, text: str) -> None:
        headers = {"Retry-After": "1"} if self.status == 503 else None
        super().__init__(self.status, self.answer, headers)
        self.args = (text,)

    def __str__(self) -> str:
        return str(self.args[0])
