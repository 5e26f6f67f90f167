"""A reader of the texts of dates and times: digits, numbers, names, blanks and offsets from the left."""

import re

SPACES = " \t\n\v\f\r"


class Reader:
    """Reads a text from the left; each `ValueError` means that it does not fit the pattern."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def done(self) -> bool:
        return self.at >= len(self.text)

    def spaces(self) -> None:
        while not self.done() and self.text[self.at] in SPACES:
            self.at += 1

    def character(self, expected: str) -> None:
        if self.done() or self.text[self.at] != expected:
            raise ValueError("the text does not fit the format")
        self.at += 1

    def digits(self, width: int) -> str:
        match = re.compile(rf"[0-9]{{1,{width}}}").match(self.text, self.at)
        if match is None:
            raise ValueError("the text does not fit the format")
        self.at = match.end()
        return match[0]

    def number(self, width: int, least: int, most: int) -> int:
        """A number of at most so many characters, its sign one of them."""
        negative = not self.done() and self.text[self.at] == "-"
        if negative:
            self.at, width = self.at + 1, width - 1
            if not width:
                raise ValueError("the text does not fit the format")
        value = int(self.digits(width))
        if negative and not value:
            raise ValueError("the text does not fit the format")
        value = -value if negative else value
        if not least <= value <= most:
            raise ValueError("the text does not fit the format")
        return value

    def spaced(self, least: int, most: int, width: int = 2) -> int:
        """A number as strptime reads it: after blanks, and no more digits than can be."""
        self.spaces()
        value, start = 0, self.at
        while self.at - start < width and not self.done() and self.text[self.at] in "0123456789":
            if self.at > start and value * 10 > most:
                break
            value = value * 10 + int(self.text[self.at])
            self.at += 1
        if self.at == start or not least <= value <= most:
            raise ValueError("the text does not fit the format")
        return value

    def name(self, names: tuple[str, ...]) -> int:
        """The place of a name, whole or its first three letters."""
        rest = self.text[self.at :].lower()
        for place, name in enumerate(names):
            for form in (name.lower(), name[:3].lower()):
                if rest.startswith(form):
                    self.at += len(form)
                    return place
        raise ValueError("the text does not fit the format")

    def offset(self, separator: str) -> int:
        """Minutes east of UTC."""
        match = re.compile(rf"([+-])([0-9]{{2}}){separator}?([0-9]{{2}})?").match(self.text, self.at)
        if separator and match and match[3] is None:
            match = re.compile(rf"([+-])([0-9]{{2}}){separator}?()").match(self.text, self.at)
        if match is None or int(match[2]) > 23 or int(match[3] or 0) > 59:
            raise ValueError("the text does not fit the format")
        self.at = match.end()
        minutes = (int(match[2]) * 60 + int(match[3] or 0)) * (-1 if match[1] == "-" else 1)
        if abs(minutes) > 14 * 60:
            raise ValueError("Timezone offset out of valid range -14:00 to +14:00")
        return minutes
