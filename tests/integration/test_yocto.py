"""What the Yocto layer says of this tree is so. bitbake is not run: it needs the network."""

import hashlib
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAYER = ROOT / "targets" / "yocto" / "meta-towline"
RECIPE = LAYER / "recipes-towline" / "towline-agent"


def recipe():
    path, = RECIPE.glob("towline-agent_*.bb")
    return path, path.read_text()


def test_version_is_the_trees():
    version = re.search(r"^project\(towline VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text(),
                        re.MULTILINE)[1]
    assert recipe()[0].name == f"towline-agent_{version}.bb"


def test_licence_checksum():
    said = re.search(r"file://LICENSE;md5=(\w+)", recipe()[1])[1]
    assert said == hashlib.md5((ROOT / "LICENSE").read_bytes()).hexdigest()


def test_the_tree_is_found():
    up = re.search(r"'FILE_DIRNAME'\) \+ '([./]+)'", recipe()[1])[1]
    assert (RECIPE / up.lstrip("/")).resolve() == ROOT


def test_files_of_the_tree_are_there():
    paths = re.findall(r"\$\{S\}/(\S+)", recipe()[1])
    assert len(paths) >= 8
    assert [p for p in paths if not (ROOT / p).is_file()] == []


def test_options_are_those_of_cmake():
    known = set(re.findall(r"option\((\w+)", (ROOT / "CMakeLists.txt").read_text()))
    used = set(re.findall(r"-D(TOWLINE_\w+)=", recipe()[1]))
    assert used and used <= known


def test_libraries_are_those_that_cmake_asks_for():
    """Every library that the agent's build wants comes from a recipe that is named."""
    names = {"sqlite3": "sqlite3", "zlib": "zlib", "libprotobuf-c": "protobuf-c", "inih": "libinih",
             "libmnl": "libmnl", "libsocketcan": "libsocketcan",
             "wolfssl": "wolfssl", "OpenSSL": "openssl", "eclipse-paho-mqtt-c": "paho-mqtt-c"}
    wanted = set()
    for folder in ("", "base", "proto", "agent"):
        text = (ROOT / folder / "CMakeLists.txt").read_text()
        wanted |= set(re.findall(r"pkg_check_modules\(\w+ REQUIRED IMPORTED_TARGET (\S+)\)", text))
        wanted |= set(re.findall(r"find_package\(([a-z]\S+|OpenSSL) REQUIRED", text))
    depends = re.search(r'^DEPENDS = "(.*?)"', recipe()[1], re.MULTILINE | re.DOTALL)[1]
    depends = set(depends.replace("\\", " ").split()) - {"protobuf-c-native"}
    assert {names[w] for w in wanted} == depends
