"""Follows the README and every page in a fresh environment, as a reader would.

    python tools/follow_pages.py torch FOLDER [PAGE ...]

Clones the repository into the new folder (what is not committed stays behind),
runs the README's main job there, which makes the environment, and then, page
by page, what there is to install and all code, each page as a script. Fails if
one fails. The examples that need an account are left to the tests.
"""

import os
import pathlib
import re
import socket
import subprocess
import sys
import textwrap
import time

ROOT = pathlib.Path(__file__).parents[1]
NAME = re.compile(r"keras-sgt(?=\[)")  # not on an index before its release
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"```\n(pip install .*?)\n```")
CELL = re.compile(
    r"```\{code-cell\}\n(?::tags: \[([^\]]*)\]\n\n)?(.*?)```", re.DOTALL
)
# Pages whose sections are scripts of their own.
IN_SECTIONS = ("docs/interoperability.md", "docs/distribution.md")
ACCOUNT = ("docs/interoperability.md: Hugging Face Hub",)
ONLY_ON = {
    "docs/distribution.md: TensorFlow: `MirroredStrategy`": "tensorflow",
    "docs/distribution.md: JAX: `keras.distribution`": "jax",
    "docs/distribution.md: JAX: several processes": "jax",
    "docs/distribution.md: PyTorch: one process for each device": "torch",
    "docs/interoperability.md: Captum": "torch",
    "docs/interoperability.md: Quantus": "torch",
    "docs/interoperability.md: ONNX": "torch",
    "docs/interoperability.md: SavedModel": "tensorflow",
    "docs/interoperability.md: TensorBoard: the loss and the divergence": (
        "tensorflow"
    ),
    "docs/notebooks/distributed.md": "jax",
}
PROCESSES = {
    "docs/distribution.md: JAX: several processes": 2,
    "docs/distribution.md: PyTorch: one process for each device": 2,
}


def pages():
    """Paths of what has code, the README first."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    found += sorted((ROOT / "docs").rglob("*.md"))
    return [str(path.relative_to(ROOT)) for path in found]


def scripts(page):
    """The title, the commands and the code of each script of a page."""
    text = (ROOT / page).read_text()
    if cells := CELL.findall(text):
        install = [c.strip(" %\n") for tags, c in cells if "skip" in tags]
        code = [c for tags, c in cells if "skip" not in tags]
        return [(page, install, "\n".join(code))]
    if page not in IN_SECTIONS:
        return [(page, COMMAND.findall(text), joined(text))]
    start, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    return [
        (
            f"{page}: {section.splitlines()[0]}",
            COMMAND.findall(section),
            joined(start) + joined(section),
        )
        for section in sections
    ]


def joined(text):
    return "\n".join(map(textwrap.dedent, CODE.findall(text)))


def main_job(backend):
    """The README's line that makes an environment and trains."""
    blocks = re.findall(r"```\n(.*?)\n```", (ROOT / "README.md").read_text())
    (line,) = (block for block in blocks if "quickstart.py" in block)
    return line.replace("[tensorflow", f"[{backend}")


class Reader:
    """Runs commands in the clone, as one who has activated its environment."""

    def __init__(self, backend, folder):
        self.backend = backend
        self.clone = folder / "keras_sgt"
        programs = [
            self.clone / ".venv/bin",
            pathlib.Path(sys.executable).parent,
        ]
        self.env = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "MPLBACKEND": "Agg",
            "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
        }
        self.env.pop("PYTHONPATH", None)
        self.failed = []

    def run(self, title, command, cwd=None, envs=({},)):
        """Runs a command in as many processes at once as `envs`."""
        began = time.monotonic()
        processes = [
            subprocess.Popen(
                ["bash", "-c", command],
                cwd=cwd or self.clone,
                env={**self.env, **env},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for env in envs
        ]
        said = [process.communicate()[0] for process in processes]
        if any(process.returncode for process in processes):
            self.failed.append(title)
            print(f"--- {title}\n{command}\n{said[-1][-3000:]}\n---")
        ends = "FAILED" if title in self.failed else "ok"
        seconds = time.monotonic() - began
        print(f"{ends:6} {seconds:5.0f} s  {title}", flush=True)

    def follow(self, page):
        for number, (title, installs, code) in enumerate(scripts(page)):
            if not code or ONLY_ON.get(title, self.backend) != self.backend:
                continue
            if title in ACCOUNT:
                print(f"left to the tests: {title}")
                continue
            folder = self.clone.parent / f"{page.replace('/', '-')}-{number}"
            folder.mkdir()
            (folder / "page.py").write_text(code)
            here = str(self.clone)
            installs = [NAME.sub(here, line) for line in installs]
            for line in installs:
                line = line.replace("[tensorflow", f"[{self.backend}")
                self.run(f"{title}: {line}", line)
            count = PROCESSES.get(title, 1)
            self.run(
                title,
                "python -W ignore page.py",
                cwd=folder,
                envs=self.ranks(count),
            )

    def ranks(self, count):
        """What tells each of several processes which one it is."""
        if count == 1:
            return [{}]
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = str(free.getsockname()[1])
        return [
            {
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"localhost:{port}",
                "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
                "KERAS_DISTRIBUTION_PROCESS_ID": str(rank),
            }
            if self.backend == "jax"
            else {
                "MASTER_ADDR": "localhost",
                "MASTER_PORT": port,
                "RANK": str(rank),
                "WORLD_SIZE": str(count),
            }
            for rank in range(count)
        ]


def main(backend, folder, *wanted):
    folder = pathlib.Path(folder).resolve()
    folder.mkdir(parents=True)
    reader = Reader(backend, folder)
    clone = f"git clone --quiet {ROOT} {reader.clone}"
    reader.run("a clone", clone, cwd=folder)
    reader.run("README.md: the main job", main_job(backend))
    for page in wanted or pages():
        reader.follow(page)
    if reader.failed:
        sys.exit(f"{len(reader.failed)} failed: {', '.join(reader.failed)}")
    print(f"all pages run on {backend}")


if __name__ == "__main__":
    main(*sys.argv[1:])
