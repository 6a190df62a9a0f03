"""What the tests take from npm: package-lock.json pins it, `npm ci` fills a folder below build/ with it, once."""
import fcntl
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / "build/npm/openapi"
FILES = ("package.json", "package-lock.json", ".npmrc")


def modules():
    """The folder with node_modules in it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "package-lock.json").read_text()
    stamp = FOLDER / "installed"
    with open(FOLDER / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            for name in FILES:
                shutil.copy(HERE / name, FOLDER)
            done = subprocess.run(["npm", "ci"], cwd=FOLDER, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            stamp.write_text(wanted)
    return FOLDER


def validate(*documents):
    """Asserts that files are valid OpenAPI 3.1 and that their references lead somewhere."""
    done = subprocess.run(["node", HERE / "validate.mjs", modules(), *documents], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
