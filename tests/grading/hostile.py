"""Submissions that break something or cheat: each costs itself alone, earns nothing by it, and is named.

``{trap}`` stands for a folder of the grader's with a secret in it and a socket, ``{port}`` for a port that listens.
"""

import json
import os

from tests.grading.making import MASTER, Case, answer, blank, code, packed, right, with_answers, with_cell

SECRET = "precious-words-of-the-grader"
MARK = "48151.623"  # seconds that processes sleep which are to outlive the grading

CELLS = {  # in a notebook that is right otherwise: name -> cell, what must be said ("" where nothing need be)
    "raises": ("1 / 0", "ZeroDivisionError"),
    "does not parse": ("a b", "SyntaxError"),
    "an error without text": (
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
        "cell 3: ",
    ),
    "half a character": ('raise ValueError("\\ud83d")', "\\ud83d"),
    "control characters": ('raise ValueError("\\x1b[2J\\x07\\u202egnirts\\u2066 \\x00")', "\\u202e"),
    "an error of megabytes": ("raise ValueError('x' * 50_000_000)", "ValueError: xxx"),
    "an error that lies": ("class E(Exception):\n    __str__ = lambda self: 3\nraise E", "cell 3: "),
    "an error that hangs": (
        "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E",
        "stopped",
    ),
    "a base exception": ("class E(BaseException): pass\nraise E", "cell 3: E"),
    "keyboard interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "exits": ("import sys\nsys.exit(3)", "SystemExit"),
    "exits at once": ("import os\nos._exit(0)", "cell 3: the process ended"),
    "crashes": ("import ctypes\nctypes.string_at(0)", "cell 3: the process ended"),
    "hangs": ("while True: pass", "cell 3: stopped after"),
    "hangs and catches": (
        "while True:\n    try:\n        while True: pass\n    except Exception: pass",
        "stopped after",
    ),
    "hangs for good": (
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
        "could not be interrupted",
    ),
    "stops itself": ("!kill -STOP $PPID", "could not be interrupted"),
    "lays no lines": (
        "import signal, time\nsignal.setitimer(signal.ITIMER_REAL, 0)\ntime.sleep(10**6)",
        "could not be",
    ),
    "hangs in a callback": ("import asyncio\nawait asyncio.sleep(10**6)", "stopped after"),
    "hangs in C": ("import re\nre.match('(a+)+$', 'a' * 60 + 'b')", "cell 3: "),
    "waits for input": ("while True:\n    try: input()\n    except Exception: pass", "stopped after"),
    "recursion": ("f = lambda: f()\nf()", "RecursionError"),
    "recursion in C": ("import sys\nsys.setrecursionlimit(10**9)\nf = lambda: f()\nf()", "cell 3: "),
    "eats memory": ("x = [bytearray(10**8) for _ in range(1000)]", "cell 3: "),
    "eats memory together": (
        "import os, time\nfor _ in range(12):\n    if os.fork() == 0:\n"
        "        x = bytearray(os.urandom(1)) * 10**9\n        time.sleep(600)\ntime.sleep(600)",
        "cell 3: ",
    ),
    "eats shared memory": (
        "import mmap\nx = [mmap.mmap(-1, 10**9) for _ in range(6)]\nfor part in x:\n"
        "    for place in range(0, 10**9, 4096): part[place] = 1",
        "cell 3: ",
    ),
    "eats memory of files": ("import os\nx = os.memfd_create('x')\nos.ftruncate(x, 10**8)", "Function not implemented"),
    "fills the disk": ("with open('/tmp/x', 'wb') as f:\n    while True: f.write(bytes(10**7))", "cell 3: OSError"),
    "fills the disk in many files": (
        "import itertools\nfor k in itertools.count():\n    open(f'/tmp/{k}', 'wb').write(bytes(10**8))",
        "No space left",
    ),
    "fills shared memory": (
        "for k in range(99):\n    open(f'/dev/shm/{k}', 'wb').write(bytes(10**8))",
        "No space left",
    ),
    "fills buffers of sockets": (
        "import socket\npairs = []\ntry:\n    while True:\n        pairs.append(socket.socketpair())\n"
        "        pairs[-1][0].setblocking(False)\n        pairs[-1][0].send(bytes(10**6))\nfinally: pairs.clear()",
        "Too many open files",
    ),
    "keeps all files open": ("held = []\nwhile True: held.append(open('/dev/null'))", "Too many open files"),
    "writes elsewhere": ("open('/dev/x', 'w')", "Read-only file system"),
    "changes the course": ("import coursekit\nopen(coursekit.__file__, 'a').write('x')", "Read-only file system"),
    "changes the libraries": ("import numpy\nopen(numpy.__file__, 'a').write('x')", "Read-only file system"),
    "shows gigabytes": (
        "from IPython.display import HTML, display\nfor _ in range(30): display('x' * 10**8, HTML('x' * 10**8))",
        "",
    ),
    "nested folders": ("import os\nfor _ in range(3000):\n    os.mkdir('a' * 200)\n    os.chdir('a' * 200)", ""),
    "a guess of odd things": ("guess_q1 = guess_q2 = guess_q3 = [[1], [2, [3]], b'x', {}]", ""),
    "an endless guess": ("class G(str):\n    def __len__(self):\n        while True: pass\nguess_q2 = G('x')", ""),
    "forks": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", "cell 3: "),
    "forks in C": ("import ctypes\nwhile True: ctypes.CDLL(None).fork()", "cell 3: "),
    "forks in a shell": ("!f() { f | f & }; f; sleep 1000", "cell 3: "),
    "threads": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
        "cell 3: ",
    ),
    "closes all files": ("import os\nos.closerange(3, 100)", "cell 3: "),
    "closes what it prints to": ("import os, sys\nsys.stdout.close()\nos.closerange(0, 3)", ""),
    "prints megabytes": ("for _ in range(50_000): print('x' * 1000)", ""),
    "kills all": ("import os\nos.kill(-1, 9)", "cell 3: "),
    "kills its group": ("import os\nos.kill(0, 9)", "cell 3: the process ended"),
    "kills by shell": ("!kill -9 -1", "cell 3: the process ended"),
    "kills its parents": (
        "import os, signal\nfor k in range(1, 5000):\n    try:\n"
        "        if k != os.getpid(): os.kill(k, 9)\n    except OSError: pass",
        "",
    ),
    "deletes everything": ("!rm -rf ~ /tmp /course /dev/shm /home", ""),
    "deletes its folder": ("import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)", ""),
    "leaves a daemon": (
        f"import os, subprocess\nif os.fork() == 0:\n    os.setsid()\n    os.execvp('sleep', ['sleep', '{MARK}'])\n"
        f"subprocess.Popen(['setsid', 'nohup', 'sleep', '{MARK}'])",
        "",
    ),
    "reads the grader's files": ("raise ValueError(open('{trap}/secret.txt').read())", "FileNotFoundError"),
    "reads home": ("import os\nraise ValueError(sorted(os.listdir('/')))", "'course'"),
    "reads a key": (
        "import os\nraise ValueError(open('/etc/shadow').read() + open(os.path.expanduser('~/.ssh/id_rsa')).read())",
        "Error",
    ),
    "reads the master": (f"raise ValueError(open({str(MASTER)!r}).read())", "FileNotFoundError"),
    "reads the checks": (
        "import glob\nraise ValueError(glob.glob('/course/**/*lab01*', recursive=True))",
        "ValueError: []",
    ),
    "reads the environment": (
        "import os\nraise ValueError([name for name in os.environ if 'precious' in os.environ[name]])",
        "ValueError: []",
    ),
    "reads others' environment": (
        "import glob\nfound = {open(p, 'rb').read() for p in glob.glob('/proc/[0-9]*/environ')}\n"
        "raise ValueError(sum(b'precious' in part for part in found), b'/student' in b''.join(found))",
        "ValueError: (0, True)",
    ),
    "deletes by C": (
        "import ctypes, os\nctypes.CDLL(None).unlink(b'{trap}/secret.txt')\nos.remove('{trap}/secret.txt')",
        "FileNotFoundError",
    ),
    "calls a socket": ("import socket\nsocket.socket(socket.AF_UNIX).connect('{trap}/socket')", "FileNotFoundError"),
    "calls a port": ("import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)", "Connection"),
    "calls home": ("import urllib.request\nurllib.request.urlopen('http://192.0.2.1', timeout=3)", "URLError"),
    "writes to terminals": (
        "import glob\nfor k in range(9):\n    open(f'/dev/pts/{k}', 'w').write('Password: ')",
        "cell 3: ",
    ),
    "turns the kernel's knobs": (  # writes back what is there
        "knob = open('/proc/sys/vm/swappiness').read()\nopen('/proc/sys/vm/swappiness', 'w').write(knob)",
        "cell 3: OSError: [Errno 30] Read-only file system",
    ),
    "presses the kernel's keys": (
        "import os\nfor name in os.listdir('/proc'):\n    assert not os.access(f'/proc/{name}', 2) or name.isdigit()\n"
        "open('/proc/self/oom_score_adj', 'w').write('-1000')",
        "cell 3: OSError",
    ),
    "looks into its parents": (
        "import os\nraise ValueError(open('/proc/1/mem', 'rb').read(1), os.listdir('/proc/1/root'))",
        "cell 3: ",
    ),
    "leaves by a namespace": (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nassert libc.unshare(0x10000000) == 0",
        "AssertionError",
    ),
    "mounts": ("import ctypes\nassert ctypes.CDLL(None).mount(b'x', b'/usr', b'tmpfs', 0, 0) == 0", "cell 3: "),
    "bends the shell": ("ip = get_ipython()\nip.run_cell = None", ""),
    "bends builtins": ("import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.len = lambda x: 7", ""),
    "bends the channel": (
        "import multiprocessing.connection as channel\nchannel.Connection.send_bytes = lambda *a: None",
        "cell 3: ",
    ),
    "bends forks": ("import os\nos.fork = lambda: 0\nos._exit = os.waitpid = lambda *a: (0, 0)", ""),
    "asks for ever": ("while True: lab01.done('q2')", "cell 3: "),
    "asks for odd things": (
        "for odd in (None, '', 'q' * 10**6, '\\ud800', [], -1, 'q99'):\n    assert not lab01.done(odd)",
        "",
    ),
    "stays behind a cell that asks": (
        "import os, time\nif os.fork() == 0:\n    while True:\n        time.sleep(0.1)\n        lab01.done('q1')",
        "",
    ),
    "many problems": ("\n".join(["1 / 0"] * 3000), "ZeroDivisionError"),
    "an unknown magic": ("%notmagic\nraise TypeError", "notmagic"),
    "an odd repr": ("class R:\n    def __repr__(self):\n        while True: pass\nR()", "stopped after"),
    "no signals": ("import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass", "could not be"),
    "talks out of turn": (
        "import os\nfor k in range(3, 60):\n    try: os.write(k, b'\\x05' + bytes(7) + b'hello')\n"
        "    except OSError: pass",
        "the process sends",
    ),
    "announces a flood": (
        "import os\nfor k in range(3, 60):\n    try: os.write(k, b'\\xff' * 8)\n    except OSError: pass",
        "too large",
    ),
    "talks slowly": (
        "import os, time\nwhile True:\n    for k in range(3, 60):\n        try: os.write(k, b'\\x01')\n"
        "        except OSError: pass\n    time.sleep(0.5)",
        "cell 3: ",
    ),
}
CHANGES_ITSELF = {  # what they break is their own: they may lose points, but nobody else does
    *(
        "bends the shell",
        "bends builtins",
        "bends forks",
        "eats memory together",
        "stays behind a cell that asks",
        "deletes its folder",
        "kills its parents",
        "talks slowly",
        "talks out of turn",
    ),
    *(
        "announces a flood",
        "closes all files",
        "closes what it prints to",
        "deletes everything",
        "an odd repr",
        "keeps all files open",
        "keeps all files open",
        "threads",
    ),
}

READ_CHECK = """
def smallest_image(*args, **kwargs):
    import gc, sys
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            if type(value) is int and value > 20:
                return value
        frame = frame.f_back
    return len(gc.get_objects())
"""
ALL_EQUAL = """
import numpy as np
class Yes(int):
    __eq__ = __le__ = __ge__ = lambda self, other: True
    __sub__ = __rsub__ = lambda self, other: 0
smallest_image = lambda *a, **k: Yes(3)
by_hand_correlation = by_hand_convolution = Yes()
"""
PATCHED = """
import numpy as np, sys
np.allclose = np.all = np.isclose = lambda *a, **k: True
import coursekit.checks.server, coursekit.checks.transport
lab01.check = lab01.test = lambda *a: True
sys.modules["coursekit.checks.compare"] = sys
smallest_image = lambda *a, **k: 3
"""
FORGED = """
import coursekit.checks.server as holder
import coursekit.checks.transport as plain
holder.AnswerServer.serve = lambda self, request: {reply}
"""
SLOW_REPLY = """
import coursekit.checks.server as holder, time, __main__, sys
def serve(self, request):
    import socket, struct, gc
    for found in gc.get_objects():
        if isinstance(found, socket.socket) and found.family == socket.AF_UNIX:
            try:
                found.sendall(struct.pack("<Q", 60_000_000))
                while True:
                    found.sendall(b"x")
                    time.sleep(0.3)
            except OSError:
                pass
    return b""
holder.AnswerServer.serve = serve
"""
NESTED = "plain.struct.pack('<Q', 40_000_000) + b'[' + b'[],' * 13_333_332 + b'[]]'"
NAN_FIGURE = (
    answer("q6-answer")
    .replace("measured = [", "measured = [np.nan *")
    .replace("[noise_factor(uniform[size]) for size in sizes]", "np.full(5, np.nan)")
)
RESULTS = """
import glob, json, os
for folder in ["/autograder/results", "{trap}", "..", "/course", "/tmp"]:
    try:
        os.makedirs(folder, exist_ok=True)
        open(folder + "/results.json", "w").write(json.dumps({"score": 17}))
    except OSError:
        pass
"""


def _tricks():
    """Tricks to earn points: name -> bytes, points that they get, what must be said."""
    yield "patched", with_cell(PATCHED, notebook=blank()), 0, ""
    yield "all equal", with_cell(ALL_EQUAL, notebook=blank()), 0, ""
    yield "the check's memory", with_answers(notebook=blank(), q2=READ_CHECK), 0, ""
    yield "forged replies", with_cell(FORGED.format(reply="b'forged'"), at=-1), 0, ""
    yield "replies of lists", with_cell(FORGED.format(reply=NESTED), at=-1), 0, ""
    yield (
        "nested replies",
        with_cell(FORGED.format(reply="plain.struct.pack('<Q', 900000) + b'[' * 900000"), at=-1),
        0,
        "",
    )
    yield "slow replies", with_cell(SLOW_REPLY, at=-1), 0, ""
    yield "results of its own", with_cell(RESULTS, notebook=blank()), 0, ""
    yield "nan in a figure", with_answers(q6=NAN_FIGURE), 13, ""
    yield "nan as a prediction", with_answers(q2="smallest_image = lambda *a, **k: float('nan')"), 15, ""
    yield (
        "nan and an end",
        with_answers(q2="def smallest_image(*a, **k):\n    os._exit(0)", q6="import os\n" + NAN_FIGURE),
        11,
        "",
    )
    yield "an answer that hangs", with_answers(q2="def smallest_image(*a, **k):\n    while True: pass"), 15, ""
    yield "an answer that exits", with_answers(q2="def smallest_image(*a, **k):\n    import os; os._exit(0)"), 15, ""
    yield (
        "an answer that exits as if it were right",
        with_answers(q2="def smallest_image(*a, **k):\n    import os; os._exit(11)"),
        15,
        "",
    )
    yield (
        "an answer that multiplies",
        with_answers(q2="def smallest_image(*a, **k):\n    import os, time; os.fork() or time.sleep(99)\n    return 3"),
        15,
        "",
    )
    yield (
        "an answer that lies about when it is checked",
        with_answers(q2="count = 0\ndef smallest_image(*a, **k):\n    global count\n    count += 1\n    return count"),
        15,
        "",
    )
    yield "an answer of many digits", with_answers(q2="def smallest_image(*a, **k):\n    return 10**4000"), 15, ""
    yield (
        "an answer without size",
        with_answers(q2="def smallest_image(*a, **k):\n    return np.zeros((2**31, 0, 2**31))"),
        15,
        "",
    )
    yield "an answer that kills", with_answers(q2="def smallest_image(*a, **k):\n    import os; os.kill(-1, 9)"), 15, ""
    yield "an answer of gigabytes", with_answers(q2="def smallest_image(*a, **k):\n    return [0] * 30_000_000"), 15, ""
    yield (
        "an answer that changes others",
        with_answers(
            q2="def smallest_image(*a, **k):\n    global sharpen, separable, combine\n"
            "    sharpen = separable = combine = None\n    return 3"
        ),
        15,
        "",
    )
    yield (
        "an answer of strange signs",
        with_answers(q2="def smallest_image(*a, **k):\n    raise ValueError('\\x1b[31m\\u202e\\ud800')"),
        15,
        "",
    )


def _nested(levels):
    inner = {}
    for _ in range(levels):
        inner = {"x": inner}
    return inner


def _files():
    """Files that are no notebook, or a strange one: name -> bytes, suffix, points, what must be said."""
    whole = packed(right())
    yield "empty", b"", ".ipynb", 0, "not a notebook"
    yield "words", b"no", ".ipynb", 0, "not a notebook"
    yield "a list", b"[]", ".ipynb", 0, "not a notebook"
    yield "no cells", b'{"cells": 3}', ".ipynb", 0, "not a notebook"
    yield "odd cells", b'{"cells": [3, null, {"cell_type": "code", "source": 5}, {}]}', ".ipynb", 0, "not a notebook"
    yield "bytes", bytes(range(256)) * 9, ".ipynb", 0, "not a notebook"
    yield "nested metadata", packed(right() | {"metadata": _nested(900)}), ".ipynb", 17, ""
    yield (
        "metadata too deep",
        json.dumps({"cells": [code("x")]}).encode()[:-1] + b', "metadata": ' + b'{"x":' * 99_999,
        ".ipynb",
        0,
        "not a notebook",
    )
    yield "deep", b'{"cells": ' + b"[" * 200_000, ".ipynb", 0, "not a notebook"
    yield "cut in the first cells", whole[:1500], ".ipynb", 0, "ends in the middle"
    yield "script", b"from coursekit.checks import lab01", ".py", 0, "hand in the notebook"
    yield "large", b"x" * 65_000_000, ".ipynb", 0, "65 MB"
    yield "many cells", packed({"cells": [code("1 / 0")] * 30_000}), ".ipynb", 0, "1 MB"
    yield "many failing cells", with_cell(*["1 / 0"] * 300), ".ipynb", 17, "more problems"
    yield "of another lab", packed({"cells": [code("from coursekit.checks import lab02")]}), ".ipynb", 0, "lab02"
    yield "of no lab", packed({"cells": [code("x = 1")]}), ".ipynb", 0, "nowhere imports"
    yield "null bytes", with_cell("x = '\0'"), ".ipynb", 17, "cell 3: "
    yield "half characters", json.dumps(json.loads(with_cell("x = '\ud83d'"))).encode(), ".ipynb", 17, ""
    yield "page", b"<html></html>", ".html", 0, ".html"
    yield "archive", b"PK", ".zip", 0, "unpack"
    yield "essay", b"%PDF", ".pdf", 0, ".pdf"
    yield "marks", b"student,question,points,comment\nhostile marks.csv,q7,3,\n", ".csv", 0, "lay your own"


def _links(folder):
    """What is no plain file: name -> how it is made, what must be said."""
    os.symlink(MASTER, folder / "hostile link.ipynb")
    os.symlink(MASTER.parent, folder / "hostile linked folder")
    os.symlink("/nowhere", folder / "hostile broken link.ipynb")
    os.mkfifo(folder / "hostile pipe.ipynb")
    odd = [b"hostile \x81 byte.ipynb", "hostile \u202e turned.ipynb".encode(), b"hostile \x1b[31m red.ipynb"]
    (folder / "hostile folder.ipynb").mkdir()
    (folder / "hostile folder.ipynb" / "=inside.ipynb").write_bytes(b"no")
    odd += [b"hostile;=formula.ipynb", b"hostile;@formula,+1.ipynb"]
    odd += [b"=hostile formula.ipynb", b"hostile <b> bold.ipynb", b"hostile\nline.ipynb"]
    for name in odd:
        (folder / os.fsdecode(name)).write_bytes(b"no")
    return {
        **{"hostile link": "link", "hostile linked folder": "link", "hostile broken link": "link"},
        **{"hostile pipe": "no file", "hostile \\udc81 byte": "not a notebook"},
        **{"hostile \\u202e turned": "not a notebook", "hostile \\u001b[31m red": "not a notebook"},
        **{"'=hostile formula": "not a notebook", "hostile <b> bold": "not a notebook"},
        "hostile line": "not a notebook",
        **{"hostile folder.ipynb/=inside": "not a notebook", "hostile;'=formula": "not a notebook"},
        "hostile;'@formula,'+1": "not a notebook",
    }


write_links = _links
# What one submission tries by day: it survives all of it, and each wall is named by what it says.
AT_THE_WALLS = (
    *("half a character", "control characters", "an error of megabytes", "many problems", "hangs in a callback"),
    *("eats memory", "eats memory of files", "fills shared memory", "fills buffers of sockets", "writes elsewhere"),
    *("changes the course", "reads the grader's files", "reads the master", "reads the checks", "reads home"),
    *("reads the environment", "reads others' environment", "calls a socket", "calls a port", "writes to terminals"),
    *("turns the kernel's knobs", "presses the kernel's keys", "leaves by a namespace", "leaves a daemon"),
)
AT_THE_END = ("exits at once", "forks in C")
NIGHTLY = ("many cells", "many failing cells", "nested metadata", "null bytes", "half characters", "of no lab")
NIGHTLY += ("of another lab",)
QUICK = ("patched", "forged replies", "nan and an end")


def _together(names, notebook=None):
    """Several cells in one notebook, and what must be said of each."""
    cells = [CELLS[name] for name in names]
    said = [
        f"cell {number}: … {problem.removeprefix('cell 3: ')}"
        for number, (_, problem) in enumerate(cells, 3)
        if problem
    ]
    return with_cell(*(cell for cell, _ in cells), notebook=notebook), tuple(said)


def _imports():
    """The notebook as it was handed out, up to its imports."""
    notebook = blank()
    return notebook | {"cells": notebook["cells"][:4]}


HOSTILE = [
    Case("hostile at the walls", _together(AT_THE_WALLS)[0], 17, _together(AT_THE_WALLS)[1], quick=True),
    Case("hostile to the end", _together(AT_THE_END, _imports())[0], 0, _together(AT_THE_END)[1], quick=True),
    *(
        Case(f"hostile {name}", with_cell(cell), -1 if name in CHANGES_ITSELF else 17, problem)
        for name, (cell, problem) in CELLS.items()
    ),
    *(Case(f"hostile {name}", data, points, problem, quick=name in QUICK) for name, data, points, problem in _tricks()),
    *(
        Case(
            f"hostile {name}",
            data,
            points,
            problem,
            suffix,
            quick=name not in NIGHTLY,
        )
        for name, data, suffix, points, problem in _files()
    ),
]
