"""docs/conventions.md: rules that are cited exist, and rules that hold are named by a test.

A rule is one item of a list, or row of a table, that begins with its number in bold. One with **Not yet** need not
hold. A test names a rule in its name (``test_e16_...``), a docstring, a comment, or in parentheses in a text, such as
the message that it expects.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from printed import page

ROOT = Path(__file__).parents[1]
PAGE = page("conventions.md")
LETTERS = "BDEGKLNOPQRSTV"
RULE = re.compile(rf"^\s*(?:- |\| )\*\*([{LETTERS}][1-9]\d?)\.?\*\*", re.MULTILINE)
CITED = re.compile(rf"(?<![\w.-])([{LETTERS}])([1-9]\d?)(?:(?:\s+to\s+|-)\1([1-9]\d?))?(?![\w-])")
IN_NAME = re.compile(rf"_([{LETTERS.lower()}])([1-9]\d?)(?=_|$)")
PARENTHESISED = re.compile(rf"\\?\([^()\n]*?\b[{LETTERS}][1-9]\d?\b[^()\n]*?\\?\)")
# letters and numbers that name other things in code
OTHER_THINGS = {"P", "L", "S", "R", "V"}


@cache
def rules() -> dict[str, str]:
    """Text of each rule by its number."""
    found = list(RULE.finditer(PAGE))
    ends = [match.start() for match in found[1:]] + [len(PAGE)]
    return {match[1]: PAGE[match.start() : end] for match, end in zip(found, ends, strict=True)}


def text_of(rule: str) -> str:
    """The item or row of a rule alone."""
    text = rules()[rule]
    return text.splitlines()[0] if text.lstrip().startswith("|") else re.split(r"\n\s*\n", text)[0]


def numbers_in(text: str) -> Iterator[str]:
    """Each rule that a text cites; "E21 to E26" cites six."""
    for letter, first, last in CITED.findall(text):
        for number in range(int(first), int(last or first) + 1):
            yield f"{letter}{number}"


def prose_of(path: Path) -> str:
    """What a file says to its readers: comments, docstrings, and what stands in parentheses in its texts."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix != ".py":
        return text
    said = [
        token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            said.append(ast.get_docstring(node) or "")
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            said += PARENTHESISED.findall(node.value)
    return "\n".join(said)


def names_of(path: Path) -> Iterator[str]:
    """Rules in names of tests and of their cases."""
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield from (f"{letter.upper()}{number}" for letter, number in IN_NAME.findall(node.name))
            if isinstance(node, ast.Constant) and isinstance(node.value, str):  # the name of a case: "E32 reset"
                yield from numbers_in(" ".join(re.findall(r"^[A-Z]\d+(?= )", node.value)))


@cache
def named_by_tests() -> dict[str, set[str]]:
    """Files of the tests that name each rule."""
    found: dict[str, set[str]] = defaultdict(set)
    for folder, pattern in (("tests", "*.py"), ("tests/broken_events", "*.csv")):
        for path in (ROOT / folder).glob(pattern):
            if path.name != Path(__file__).name:
                for rule in (*numbers_in(prose_of(path)), *names_of(path)):
                    found[rule].add(path.name)
    return found


def held() -> list[str]:
    """Rules that the page says hold."""
    return [rule for rule in rules() if "**Not yet**" not in text_of(rule)]


def test_the_page_has_every_rule_once() -> None:
    """Numbers run from 1 without a gap, in each section."""
    listed = RULE.findall(PAGE)
    assert len(listed) == len(set(listed))
    for letter in LETTERS:
        own = sorted(int(rule[1:]) for rule in listed if rule[0] == letter)
        assert own == list(range(1, len(own) + 1)), letter
    assert len(listed) > 150


@pytest.mark.parametrize("folder", ["src", "tests", "docs"])
def test_every_rule_that_is_cited_exists(folder: str) -> None:
    unknown = defaultdict(set)
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix in (".py", ".md", ".csv") and path.name != Path(__file__).name:
            for rule in numbers_in(prose_of(path)):
                if rule not in rules() and rule[0] not in OTHER_THINGS:
                    unknown[rule].add(path.name)
    assert not unknown


@pytest.mark.parametrize("rule", held())
def test_every_rule_that_holds_is_named_by_a_test(rule: str) -> None:
    assert named_by_tests()[rule], f"{text_of(rule)}\nno test names it: write one, or mark the rule **Not yet**"


def test_every_number_of_section_14_1_is_used_by_a_test() -> None:
    """But for those of rules that wait."""
    section = PAGE[PAGE.index("### 14.1") : PAGE.index("### 14.2")]
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    used = {float(number) for number in re.findall(r"\d+\.\d+", tests)}
    waiting = {rule for rule in rules() if rule not in held()}
    found, rule = 0, ""
    for row in re.findall(r"^\|.*\|$", section, flags=re.MULTILINE):
        cited = list(numbers_in(row.split("|")[2]))
        rule = cited[0] if cited else rule
        for number in re.findall(r"\d+\.\d{10}", row.split("|")[-2]) if rule not in waiting else ():
            found += 1
            assert float(number) in used, row
    assert found > 30


def test_what_does_not_hold_says_so_plainly() -> None:
    """Some rules wait; a page that says less would boast."""
    waiting = [rule for rule in rules() if rule not in held()]
    assert {"P12", "R12"} <= set(waiting)
    assert {"D14", "E2", "B8", "N4", "T7"} <= set(held())
