# SPDX-License-Identifier: Apache-2.0
"""Reading tokens one after the other, and the terms that they form."""

from __future__ import annotations

import re
from typing import Final

from formal.hlpsl.lexer import HlpslError, Token, tokens
from formal.hlpsl.syntax import Apply, Crypt, Inverse, Name, Pair, Term

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*'?|[0-9]+")


class Reader:
    """The rest of a text."""

    def __init__(self, text: str) -> None:
        self._tokens = list(tokens(text))
        self._next = 0

    @property
    def word(self) -> str:
        """The next token; empty at the end."""
        return self._tokens[self._next].text if self._next < len(self._tokens) else ""

    def after(self, distance: int) -> str:
        """A later token; empty past the end."""
        index = self._next + distance
        return self._tokens[index].text if index < len(self._tokens) else ""

    def error(self, message: str) -> HlpslError:
        """An error at the next token."""
        last = self._tokens[min(self._next, len(self._tokens) - 1)] if self._tokens else Token("", 1)
        return HlpslError(f"line {last.line}: {message}, but there is {self.word or 'the end'!r}")

    def take(self) -> str:
        """The next token, which is then past."""
        if not self.word:
            raise self.error("there should be more")
        self._next += 1
        return self._tokens[self._next - 1].text

    def skip(self, word: str) -> bool:
        """Pass the next token if it is this one."""
        if self.word != word:
            return False
        self._next += 1
        return True

    def expect(self, *words: str) -> None:
        """Pass these tokens."""
        for word in words:
            if not self.skip(word):
                raise self.error(f"{word!r} was expected")

    def identifier(self) -> str:
        """A name without a prime."""
        if _WORD.fullmatch(self.word) is None or self.word.endswith("'"):
            raise self.error("a name was expected")
        return self.take()

    def name(self) -> Name:
        """A name, with a prime or without."""
        if _WORD.fullmatch(self.word) is None:
            raise self.error("a name was expected")
        text = self.take()
        return Name(text.rstrip("'"), text.endswith("'"))

    def term(self) -> Term:
        """A message: ``a.b.c``."""
        first = self._item()
        return Pair(first, self.term()) if self.skip(".") else first

    def terms(self, end: str) -> tuple[Term, ...]:
        """Messages separated by commas, up to and with the end."""
        result: list[Term] = []
        if self.skip(end):
            return ()
        while True:
            result.append(self.term())
            if self.skip(end):
                return tuple(result)
            self.expect(",")

    def _item(self) -> Term:
        if self.skip("{"):
            body = self.term()
            self.expect("}_")
            return Crypt(body, self._item())
        if self.skip("("):
            inner = self.term()
            self.expect(")")
            return inner
        name = self.name()
        if not self.skip("("):
            return name
        argument = self.term()
        self.expect(")")
        if name == Name("inv"):
            return Inverse(argument)
        if name.name in ("xor", "exp"):
            raise self.error(f"{name.name} is not supported: it has algebraic laws; a plain function was expected")
        return Apply(name, argument)
