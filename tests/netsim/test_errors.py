import pickle
import subprocess
import sys

from netsim.errors import NetsimError


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(NetsimError("what, where, way out")))  # noqa: S301 - ours
    assert isinstance(error, ValueError)
    assert str(error) == "what, where, way out"


def test_the_package_itself_imports_nothing() -> None:
    code = "import sys, netsim; sys.exit('numpy' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
