"""What a client with a window needs where there is no screen: a home, a display and a session bus of its own."""
import ctypes
import os
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1


def end_with_us():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start_helper(argv, what):
    """A program that ends with us and writes what is to be known about it to the descriptor named in its argv."""
    reading, writing = os.pipe()
    subprocess.Popen([word.replace("%d", str(writing)) for word in argv], pass_fds=[writing],
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=end_with_us)
    os.close(writing)
    with os.fdopen(reading) as told:
        line = told.readline().strip()
    if not line:
        sys.exit(f"{what} did not start")
    return line


def make_home(home):
    """With a place for files, and in the environment."""
    for name in "run", "config", "data", "cache", "files":
        (home / name).mkdir(parents=True, mode=0o700)
    os.environ.update(HOME=str(home), XDG_RUNTIME_DIR=f"{home}/run", XDG_CONFIG_HOME=f"{home}/config",
                      XDG_DATA_HOME=f"{home}/data", XDG_CACHE_HOME=f"{home}/cache")


def start_bus():
    os.environ["DBUS_SESSION_BUS_ADDRESS"] = start_helper(
        ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=%d"], "dbus-daemon")


def make_room(home):
    """All three."""
    make_home(home)
    start_bus()
    os.environ.update(NO_AT_BRIDGE="1", GTK_A11Y="none", GSETTINGS_BACKEND="memory", LIBGL_ALWAYS_SOFTWARE="1",
                      GDK_BACKEND="x11", GSK_RENDERER="cairo")
    os.environ.pop("WAYLAND_DISPLAY", None)
    os.environ["DISPLAY"] = ":" + start_helper(
        ["Xvfb", "-displayfd", "%d", "-screen", "0", "1280x900x24", "-nolisten", "tcp"], "Xvfb")
