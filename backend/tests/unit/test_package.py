"""The package as a whole: what importing it may and may not do."""

import subprocess
import sys

LIST_FOREIGN_MODULES = """
import sys

before = set(sys.modules)
import hhh

new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(new - sys.stdlib_module_names - {"hhh"}))
"""


def test_importing_the_package_loads_nothing_of_others() -> None:
    """The SQLite engine starts a child of this package for every copy: it must start at once."""
    child = subprocess.run([sys.executable, "-c", LIST_FOREIGN_MODULES], capture_output=True, text=True, check=True)

    assert child.stdout.split() == []
