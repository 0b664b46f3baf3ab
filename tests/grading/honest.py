"""Submissions as honest students write them: each gets all its points, whatever else is in the notebook."""

import json
import re

from tests.grading.making import Case, answer, code, find, packed, right, text, with_answers, with_cell

Q1, Q2, Q3, Q5, Q6 = (answer(f"q{number}-answer") for number in (1, 2, 3, 5, 6))


def _changed(change):
    notebook = right()
    change(notebook)
    return packed(notebook)


def _without_ids(notebook):
    notebook["nbformat_minor"] = 4
    for cell in notebook["cells"]:
        del cell["id"]


def _all_at_the_end(notebook):
    sources = [find(notebook, f"q{number}-answer")["source"] for number in range(1, 7)]
    notebook["cells"] = [cell for cell in notebook["cells"] if not re.fullmatch(r"q[1-6]-answer", cell["id"])] + [
        code("\n\n".join("".join(source) for source in sources))
    ]


def _turned_around(notebook):
    notebook["cells"] = notebook["cells"][:4] + notebook["cells"][:3:-1]


def _with_outputs(notebook):
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            cell["execution_count"] = number + 7
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["done\n"] * 1000}]


def _as_lines(notebook):
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).splitlines(keepends=True)


def _windows(notebook):
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).replace("\n", "\r\n")


def _pasted(notebook):
    notebook["cells"][4:4] = [text(f'<img src="data:image/png;base64,{"A" * 1_500_000}">')] * 2


def _attached(notebook):
    picture = {"image.png": {"image/png": "A" * 9_000_000}}
    notebook["cells"][4:4] = [text("![](attachment:image.png)") | {"attachments": picture}]


def _old_names(notebook):
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).replace("from coursekit.checks import", "from coursekit.labs import")


def _as(line, name):
    def change(notebook):
        for cell in notebook["cells"]:
            source = "".join(cell["source"]).replace("from coursekit.checks import lab01", line)
            cell["source"] = source.replace("lab01.", f"{name}.")

    return change


SLEEPY = """
import asyncio

async def fetch(value):
    await asyncio.sleep(0.01)
    return value

values = await asyncio.gather(fetch(1), fetch(2))
"""
LOADER = """
import torch
from torch.utils.data import DataLoader, TensorDataset
loader = DataLoader(TensorDataset(torch.arange(64.0)), batch_size=8, num_workers=2{more})
total = sum(batch.sum() for batch, in loader)
assert total == 2016
"""
THREADS = """
import torch
torch.set_num_threads(4)
torch.set_num_interop_threads(2)
big = torch.rand(600, 600) @ torch.rand(600, 600)
"""
POOL = """
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(3)
list(pool.map(str, range(20)))


def smallest_image(outputs, kernel, stride=1, padding=0, dilation=1):
    def part(number):
        return [(outputs - 1) * stride, dilation * (kernel - 1) + 1, -2 * padding][number]
    return sum(pool.map(part, range(3)))
"""
OPEN_FIGURES = """
import matplotlib.pyplot as plt
for _ in range(25):
    plt.figure()
plt.plot([1, 2, 3])
"""
GCF = """
assert not plt.get_fignums()
plt.plot([3, 2])
assert len(plt.gcf().axes[0].lines) == 1
"""
PYPLOT = (
    Q6.split("from matplotlib.figure import Figure")[0]
    + """
import matplotlib.pyplot as plt
sizes = [3, 5, 7, 9, 15]
uniform = {size: np.full((size, size), 1 / size**2) for size in sizes}
noise = np.random.default_rng(0).normal(size=(300, 300))
measured = [signal.correlate(noise, uniform[size], mode="valid").std() / noise.std() for size in sizes]
plt.loglog(sizes, [noise_factor(uniform[size]) for size in sizes], "--", label="predicted")
plt.loglog(sizes, measured, "o", label="measured")
plt.xlabel("size (pixels)")
plt.ylabel("factor")
plt.legend()
figure = plt.gcf()
plt.show()
"""
)
CALLABLE = """
class Smallest:
    def __call__(self, outputs, kernel, stride=1, padding=0, dilation=1):
        return (outputs - 1) * stride + dilation * (kernel - 1) + 1 - 2 * padding

smallest_image = Smallest()
"""
PARTIAL = """
import functools
def size(extra, outputs, kernel, stride=1, padding=0, dilation=1):
    return (outputs - 1) * stride + dilation * (kernel - 1) + extra - 2 * padding
smallest_image = functools.lru_cache(functools.partial(size, 1))
"""
MODULE = """
%%writefile helper.py
def size(outputs, kernel, stride, padding, dilation):
    return (outputs - 1) * stride + dilation * (kernel - 1) + 1 - 2 * padding
"""
FILES = """
import os, pathlib, pickle, tempfile
pathlib.Path("note.txt").write_text("x")
with tempfile.NamedTemporaryFile() as file:
    pickle.dump([1, 2], file)
(pathlib.Path.home() / "mine").mkdir(exist_ok=True)
np.save(os.path.expanduser("~/mine/a.npy"), np.arange(3))
assert np.load(pathlib.Path.home() / "mine" / "a.npy").sum() == 3
"""
SEEDS = """
import random, torch, warnings
random.seed(1), np.random.seed(1), torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
np.seterr(all="raise")
warnings.filterwarnings("error")
"""
MAGICS = """
%matplotlib inline
%config InlineBackend.figure_format = "retina"
%load_ext autoreload
%autoreload 2
%env MY_SETTING=3
%cd /tmp
%pwd
%who
"""
CONTINUED = """
wrapped = ((200 + 100)
% 256)
assert wrapped == 44
note = '''
%matplotlib is written here
!ls too
'''
assert "%matplotlib" in note and "!ls" in note
"""
PROCESSES = """
import multiprocessing, subprocess
def square(x):
    return x * x
with multiprocessing.get_context("fork").Pool(2) as workers:
    assert workers.map(square, range(5)) == [0, 1, 4, 9, 16]
assert subprocess.run(["echo", "hello"], capture_output=True, text=True).stdout == "hello\\n"
"""
BAR = """
import time, threading, tqdm
bar = tqdm.tqdm(total=100)
bar.update(3)
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
"""
SHOWN = """
from IPython.display import HTML, Markdown, clear_output
display(HTML("<b>x</b>"), Markdown("**x**"))
clear_output(wait=True)
print("x" * 2_000_000)
camera
"""
STYLE = """
import logging, matplotlib.pyplot as plt
plt.style.use("ggplot")
plt.rcParams["figure.figsize"] = (3, 3)
plt.ion()
logging.basicConfig(level=logging.DEBUG)
logging.info("x")
"""
WARNINGS_AS_ERRORS = """
import os, warnings
import matplotlib
import matplotlib.pyplot as plt
import torch
os.chdir("/tmp")
plt.switch_backend("agg")
torch.set_grad_enabled(False)
torch.set_default_dtype(torch.float64)
np.seterr(all="raise")
warnings.filterwarnings("error")
matplotlib.use("svg")
"""
ENVIRONMENT = """
import contextlib, io, locale, os, sys
os.environ["OMP_NUM_THREADS"] = "4"
sys.setrecursionlimit(5000)
sys.path.append("/tmp")
with contextlib.redirect_stdout(io.StringIO()) as shown:
    print("x")
assert shown.getvalue() == "x\\n"
print("x", file=sys.stderr)
sys.stdout = io.StringIO()
np.set_printoptions(precision=2)
"""
BEHIND_DONE = """
if lab01.done("q1"):
    offset = 1
else:
    offset = 7


def smallest_image(outputs, kernel, stride=1, padding=0, dilation=1):
    return (outputs - 1) * stride + dilation * (kernel - 1) + offset - 2 * padding
"""
CHECKED = """
lab01.check("Q2"), lab01.check(2), lab01.progress()
if lab01.done(2):
    print("right")
else:
    raise AssertionError("q2 is not right")
assert not lab01.done("q9") and not lab01.done("q7")
"""
SPOILS = (
    Q3.replace("def sharpen(", "def sharpened(")
    + """

def sharpen(*args, **kwargs):
    result = sharpened(*args, **kwargs)
    np.random.seed(0), os.chdir("/"), plt.rcParams.update(plt.rcParamsDefault), np.seterr(all="raise")
    print("x" * 1000)
    return result
"""
)
FILES_OF_SHELL = "files = !ls\nassert files == [] or files\nnumber = len(files)\n"
MAIN = "if __name__ == '__main__':\n    print('main')\nassert __name__ == '__main__'\n"

LOOPS = """
for k in range(3):
    continue
with open("x", "w") as file:
    pass
match k:
    case 2:
        z = 1
assert z == 1
"""
COLAB = """
#@title Settings { run: "auto" }
from google.colab import drive, files
drive.mount("/content/drive")
!pip install --quiet coursekit
"""
MORE_MAGICS = (
    "%%bash\necho hello > from_bash.txt",
    "assert open('from_bash.txt').read() == 'hello\\n'",
    "%%html\n<b>x</b>",
    "%%javascript\nalert(1)",
    "%%latex\n$x$",
    "%%timeit -n 1 -r 1\nsum(range(10))",
    "%%writefile there.py\nthere = 3",
    "%run there.py\nassert there == 3",
    "%precision 3\n%xmode Minimal\n%whos\n%lsmagic\n%alias_magic t time\n%t 1 + 1",
    "%matplotlib\n%matplotlib inline",
)
NOTEBOOK_BAR = """
from tqdm.notebook import tqdm, trange

def smallest_image(outputs, kernel, stride=1, padding=0, dilation=1):
    size = 1 - 2 * padding
    for _ in tqdm(range(outputs - 1)):
        size += stride
    for _ in trange(kernel - 1, leave=False):
        size += dilation
    return size
"""
CLASSES = """
import dataclasses, pickle
@dataclasses.dataclass
class Size:
    kernel: int = 3
assert pickle.loads(pickle.dumps(Size(5))) == Size(5)
assert Size.__module__ == "__main__"
"""
SAVED = """
import matplotlib.pyplot as plt
from PIL import Image
figure, axes = plt.subplots()
axes.imshow(camera)
figure.savefig("mine.png")
plt.show(block=True)
plt.pause(0.01)
assert Image.open("mine.png").size[0] > 100
"""
MUCH = (MAGICS, FILES, OPEN_FIGURES, GCF, LOADER.format(more=""), THREADS, STYLE, MAIN, CONTINUED, ENVIRONMENT)
BESIDE = SLEEPY + "import seaborn_or_so as sns\n" + FILES_OF_SHELL + "size = int(input('how large? '))\n"
BESIDE += BEHIND_DONE + POOL.replace("(kernel - 1) + 1", "(kernel - 1) + offset")

HONEST = [
    Case("as it should be", packed(right())),
    Case("much at once 数 übung 🐱", with_cell(*MUCH), quick=True),
    Case("much beside an answer", with_answers(q2=BESIDE), problem="seaborn_or_so", quick=True),
    Case("from Colab", with_cell(COLAB, "%cd /content"), problem="google"),
    Case("magics of a kernel", with_cell("%autosave 60\n%connect_info"), problem="autosave"),
    Case("more magics", with_cell(*MORE_MAGICS)),
    Case("a bar of notebooks in the answer", with_answers(q2=NOTEBOOK_BAR)),
    Case("a pasted picture", _changed(_pasted)),
    Case("an attached picture", _changed(_attached)),
    Case("cells without anything", with_cell("", "\n\n", "# only words", "pass")),
    Case("what was shown last", with_cell("3 + 4", "assert _ == 7 and Out and In")),
    Case("classes and pickles", with_cell(CLASSES)),
    Case("stops to look", with_cell("breakpoint()\n%pdb on", "1 / 0"), problem="BdbQuit"),
    Case("pictures saved", with_cell(SAVED)),
    Case("a guess of several things", with_cell("guess_q1 = [1, [2, 3]]\nguess_q2 = 'about 40 %'")),
    Case("with outputs", _changed(_with_outputs)),
    Case("magics", with_cell(MAGICS)),
    Case("a timed line", with_answers(q2="%time reach = 3\nassert reach == 3\n" + Q2)),
    Case("a timed cell", with_answers(q2="%%time\n" + Q2)),
    Case("a captured cell", with_answers(q3="%%capture shown\n" + Q3 + "\nprint('x')")),
    Case("a shell command beside the answer", with_answers(q2=FILES_OF_SHELL + Q2)),
    Case("more shell", with_cell("!ls -l | head -2\n!echo {1 + 1}\nget_ipython().system('true')\n%sx ls")),
    Case("pip in a cell", with_answers(q2="!pip install seaborn \\\n   --quiet\n" + Q2)),
    Case("pip by magic", with_answers(q2="%pip install --quiet seaborn\n" + Q2)),
    Case("a missing package", with_answers(q2="import seaborn_or_so as sns\n" + Q2), problem="seaborn_or_so"),
    Case("a missing file", with_answers(q3="photo = open('my photo.jpg').read()\n" + Q3), problem="my photo.jpg"),
    Case("await", with_answers(q2=SLEEPY + Q2)),
    Case("asyncio run", with_cell("import asyncio\nasync def f():\n    return 3\nassert asyncio.run(f()) == 3")),
    Case("input", with_answers(q2="size = int(input('how large? '))\n" + Q2), problem="input()"),
    Case("threads", with_cell(THREADS)),
    Case("a loader with workers", with_cell(LOADER.format(more=""))),
    Case("a loader that stays", with_cell(LOADER.format(more=", persistent_workers=True"))),
    Case("a pool of threads in the answer", with_answers(q2=POOL)),
    Case("figures left open", with_cell(OPEN_FIGURES, GCF)),
    Case("a figure of pyplot", with_answers(q6=PYPLOT)),
    Case("imported as a module", _changed(_as("import coursekit.checks.lab01 as lab", "lab"))),
    Case("imported under another name", _changed(_as("from coursekit.checks import (\n    lab01 as l1, lab02)", "l1"))),
    Case("of last year", _changed(_old_names)),
    Case("all answers at the end", _changed(_all_at_the_end)),
    Case("cells turned around", _changed(_turned_around), problem="NameError"),
    Case("no ids", _changed(_without_ids)),
    Case("lines", _changed(_as_lines)),
    Case("lines of Windows", _changed(_windows)),
    Case("byte order mark", b"\xef\xbb\xbf" + packed(right())),
    Case("utf-16", json.dumps(right()).encode("utf-16")),
    Case("upper case", packed(right()), suffix=".IPYNB", problem=""),
    Case("an object that can be called", with_answers(q2=CALLABLE)),
    Case("partial and cached", with_answers(q2=PARTIAL)),
    Case("a module of one's own", with_cell(MODULE.strip(), "import helper\nassert helper.size(3, 3, 2, 0, 1) == 7")),
    Case("files", with_cell(FILES)),
    Case("seeds and strict settings", with_cell(SEEDS)),
    Case("lines that look like magic", with_cell(CONTINUED)),
    Case("help", with_cell("np.pad?", "?np.pad", "np.pad??", "print(help)")),
    Case("processes", with_cell(PROCESSES)),
    Case("a bar and a thread left running", with_cell(BAR)),
    Case("shows much", with_cell(SHOWN)),
    Case("style and logging", with_cell(STYLE)),
    Case("settings left on", with_cell(WARNINGS_AS_ERRORS)),
    Case("settings left on at the end", with_cell(WARNINGS_AS_ERRORS, at=-1)),
    Case("settings of the process", with_cell(ENVIRONMENT)),
    Case("an answer that leaves settings on", with_answers(q3="import os\nimport matplotlib.pyplot as plt\n" + SPOILS)),
    Case("an answer behind done", with_answers(q2=BEHIND_DONE)),
    Case("checks called in every way", with_cell(CHECKED, at=-1)),
    Case(
        "several lines of code that fail",
        with_answers(q2="1 / 0\nopen('x')\n" + Q2 + "\n1 / 0"),
        problem="ZeroDivision",
    ),
    Case("annotations of the future", with_answers(q2="from __future__ import annotations\n" + Q2)),
    Case(
        "loops and contexts",
        with_answers(q2=LOOPS + Q2),
    ),
    Case("main", with_cell(MAIN)),
    Case("star import", with_cell("from numpy import *", at=2)),
    Case("deletes what it was given", with_cell("del X, K, camera, session", at=-1)),
    Case(
        "an experiment that fails",
        with_answers(q3=Q3 + "\n\nsharpen(None, 'x')\nassert False"),
        problem="AttributeError",
    ),
    Case("an answer as arrays", with_answers(q1=Q1 + "\nby_hand_correlation = np.array(by_hand_correlation)")),
    Case("two versions of an answer", with_answers(q2="smallest_image = None\n\n" + Q2)),
    Case("exit at the end", with_cell("exit()", at=-1), problem="exit"),
    Case("more text", _changed(lambda notebook: notebook["cells"].append(text("Thanks! ☕")))),
    Case(
        "an older look of a cell",
        _changed(lambda notebook: notebook["cells"].append({"cell_type": "raw", "source": "x"})),
    ),
]
