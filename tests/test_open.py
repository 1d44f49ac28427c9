"""``diag open``: what the server of reports gives out, and what it does not."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import numpy as np
import pytest

import diag
from diag.commands.listing import SUFFIXES, Report, listed, page_of
from diag.commands.open import _browse
from diag.commands.output_files import UsageError
from diag.commands.serving import KINDS, LOOPBACK, Server, served
from diag.outputs.registry import html, renderer
from reports import Page, render
from tests.commands import run
from tests.test_html import outline


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of reports with a secret beside it, and links to it and to itself."""
    root = tmp_path / "reports"
    (root / "below").mkdir(parents=True)
    (root / ".git").mkdir()
    base = np.random.default_rng(0).normal(size=(40, 2))
    result = diag.compare(base, base)
    (root / "a page.html").write_text(render(Page("compare-embeddings", "fail", "Flipped.", [], [], "x")))
    (root / "below" / "result.json").write_text(renderer(result.kind, "json")(result))
    (root / "other.json").write_text('{"a": 1}')
    (root / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (root / "picture.png").write_bytes(b"\x89PNG")
    (root / "notes.txt").write_text("private")
    (root / ".hidden.html").write_text("private")
    (root / ".git" / "in.html").write_text("private")
    (tmp_path / "secret.html").write_text("private")
    (root / "link.html").symlink_to(tmp_path / "secret.html")
    (root / "up").symlink_to(tmp_path)
    (root / "own.html").symlink_to(root / "a page.html")
    (root / "to-hidden.html").symlink_to(root / ".hidden.html")
    (root / "loop.html").symlink_to(root / "loop.html")
    (root / "folder.html").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(root / "pipe.html")
    return root


@contextmanager
def serving(place: Path) -> Iterator[Server]:
    with served(place) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with serving(folder) as found:
        yield found


def ask(
    server: Server, path: str, method: str = "GET", host: str | None = None
) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(LOOPBACK, server.server_port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", f"{LOOPBACK}:{server.server_port}" if host is None else host)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


@pytest.mark.parametrize(
    ("path", "file", "kind"),
    [
        ("/a%20page.html", "a page.html", "text/html; charset=utf-8"),
        ("/a%20page.html?x=1#y", "a page.html", "text/html; charset=utf-8"),
        ("/own.html", "a page.html", "text/html; charset=utf-8"),
        ("/below/result.json", "below/result.json", "application/json; charset=utf-8"),
        ("/other.json", "other.json", "application/json; charset=utf-8"),
        ("/drawing.svg", "drawing.svg", "image/svg+xml"),
        ("/picture.png", "picture.png", "image/png"),
    ],
)
def test_reports_are_given_out_as_they_are(
    server: Server, folder: Path, path: str, file: str, kind: str
) -> None:
    answer, content = ask(server, path)
    assert answer.status == 200
    assert content == (folder / file).read_bytes()
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert ("script-src 'unsafe-inline'" in policy) == kind.startswith("text/html")
    assert "sandbox" in policy
    assert ("allow-scripts" in policy) == kind.startswith("text/html")
    assert "allow-same-origin" not in policy
    empty, nothing = ask(server, path, "HEAD")
    assert (empty.status, nothing) == (200, b"")
    assert empty.headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize(
    "path",
    [
        *("/notes.txt", "/nothing.html", "/.hidden.html", "/.git/in.html", "/to-hidden.html"),
        *("/../secret.html", "/%2e%2e/secret.html", "/..%2fsecret.html", "/below/../../secret.html"),
        *("/..%5csecret.html", "/below/..%2f..%2fsecret.html", "//../secret.html", "/./../secret.html"),
        *("/link.html", "/up/secret.html", "/loop.html", "/folder.html", "/below", "/below/"),
        *("/a%20page.html%00.png", "/a%20page.html/x.html", "/%ff.html", "/C:/x.html", "secret.html", "*"),
        "/" + "x" * 5000 + ".html",
        *(["/pipe.html"] if hasattr(os, "mkfifo") else []),
    ],
)
def test_nothing_else_is_given_out(server: Server, path: str) -> None:
    answer, content = ask(server, path)
    assert answer.status in (400, 404)
    assert b"private" not in content
    assert re.fullmatch(rb"40[04] [A-Z a-z]+\n", content)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_an_absolute_path_of_this_machine_is_none_here(server: Server, folder: Path) -> None:
    assert ask(server, f"/{folder.parent}/secret.html")[0].status == 404
    assert ask(server, f"http://{LOOPBACK}/../secret.html")[0].status == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""])
def test_other_hosts_are_refused(server: Server, host: str) -> None:
    for path in ("/", "/a%20page.html"):
        answer, content = ask(server, path, host=host.format(port=server.server_port))
        assert answer.status == 421
        assert b"Flipped" not in content


def test_localhost_is_this_machine_too(server: Server) -> None:
    assert ask(server, "/", host=f"localhost:{server.server_port}")[0].status == 200


def test_a_request_names_one_host(server: Server) -> None:
    own = f"{LOOPBACK}:{server.server_port}"
    for hosts in ([], [own, "evil.example"], [own, own]):
        lines = "".join(f"Host: {host}\r\n" for host in hosts)
        with socket.create_connection((LOOPBACK, server.server_port), timeout=20) as sent:
            sent.sendall(f"GET / HTTP/1.0\r\n{lines}\r\n".encode())
            assert sent.makefile("rb").readline().split()[1] == b"421"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_nothing_can_be_sent(server: Server, method: str) -> None:
    answer, content = ask(server, "/a%20page.html", method)
    assert answer.status == 501
    assert b"Flipped" not in content


def test_it_listens_on_loopback_alone(server: Server) -> None:
    assert server.server_address[0] == LOOPBACK
    assert server.address == f"http://127.0.0.1:{server.server_port}/"


def test_the_list_has_pages_and_saved_results(server: Server, folder: Path) -> None:
    answer, content = ask(server, "/")
    assert answer.status == 200
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    text = content.decode()
    found = outline(text)
    assert found.addresses == ["/a%20page.html", "/own.html", "/below/result.json"]
    assert "private" not in text
    assert "<script" not in text
    assert "✗ fail" in found.words
    rows = {report.path: report for report in listed(folder)}
    for path, status in (("a page.html", "fail"), ("below/result.json", "pass")):
        assert (rows[path].kind, rows[path].status) == ("compare-embeddings", status)
    for address in found.addresses:
        assert ask(server, address)[0].status == 200


def test_titles_and_statuses_are_found_in_the_pages_that_are_made(tmp_path: Path) -> None:
    base = np.random.default_rng(0).normal(size=(40, 2))
    result = diag.compare(base, -base)
    (tmp_path / "p.html").write_text(html(result))
    (one,) = listed(tmp_path)
    assert one.kind.startswith("compare-embeddings")
    assert one.status == result.verdict.status


@pytest.mark.skipif(sys.platform == "win32", reason="no such names")
def test_all_that_is_listed_is_given_out(folder: Path) -> None:
    page = (folder / "a page.html").read_text()
    for name in ("run 10:00.html", "a\\b.html", "ü?#%41.html"):
        (folder / name).write_text(page)
    (folder / "c.txt").write_text("private")
    (folder / "t.html").symlink_to(folder / "c.txt")
    with serving(folder) as server:
        addresses = outline(ask(server, "/")[1].decode()).addresses
        assert "/run%2010%3A00.html" in addresses
        assert "/t.html" not in addresses
        assert {ask(server, address)[0].status for address in addresses} == {200}


def test_what_is_given_out_has_a_content_type() -> None:
    assert set(KINDS) == SUFFIXES


def test_names_in_the_list_are_only_words() -> None:
    text = page_of("<b>", [Report('"><script>.html', "<i>", "<u>", 0.0)])
    assert "<script>" not in text
    assert "<i>" not in text
    assert "<u>" not in text
    assert outline(text).addresses == ["/%22%3E%3Cscript%3E.html"]


def test_one_file_is_served_alone(folder: Path) -> None:
    with serving(folder / "a page.html") as server:
        assert server.address.endswith("/a%20page.html")
        assert ask(server, "/a%20page.html")[0].status == 200
        assert ask(server, "/other.json")[0].status == 404
        assert ask(server, "/below/result.json")[0].status == 404
        assert outline(ask(server, "/")[1].decode()).addresses == ["/a%20page.html"]


def test_what_cannot_be_served_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place, words in (("nowhere", "found nothing"), ("notes.txt", "found another file")):
        status, _, told = run(capsys, "open", str(folder / place), "--no-browser")
        assert status == 2
        assert words in told
    with served(folder) as taken, pytest.raises(UsageError, match="expected a free port"):
        served(folder, taken.server_port).__enter__()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_ctrl_c_ends_it_well(folder: Path) -> None:
    before = sorted(str(path) for path in folder.rglob("*"))
    with subprocess.Popen(
        [sys.executable, "-m", "diag", "open", str(folder), "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert address is not None
        connection = HTTPConnection(LOOPBACK, int(address[1]), timeout=60)
        connection.request("GET", "/own.html")
        assert b"Flipped" in connection.getresponse().read()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert told == "closed\n"
    assert sorted(str(path) for path in folder.rglob("*")) == before


def test_a_browser_is_opened_where_it_has_a_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(opened.append(address)) or True)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    _browse("http://127.0.0.1:1/", False)
    assert opened == []
    assert capsys.readouterr().err == "no browser was found here: open the address in one\n"
    monkeypatch.setenv("DISPLAY", ":0")
    _browse("http://127.0.0.1:1/", False)
    assert opened == ["http://127.0.0.1:1/"]
    assert capsys.readouterr().err == ""
