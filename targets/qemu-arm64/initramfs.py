"""Writes the guest's first file system: a cpio archive with busybox, kernel modules, programs and
the shared libraries that they need. Owners and modes are written into the archive, so no root is
needed to make it.
"""

import argparse
import pathlib
import re
import stat
import struct
import sys

LIB_DIRS = ("lib", "usr/lib", "lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu")


class Refused(Exception):
    pass


class Cpio:
    """The "newc" format of the kernel's Documentation/driver-api/early-userspace/buffer-format."""

    def __init__(self, out):
        self.out = out
        self.inode = 0
        self.names = set()

    def pad(self):
        self.out.write(b"\0" * (-self.out.tell() % 4))

    def entry(self, name, mode, data=b"", rdev=(0, 0)):
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(name) + 1, 0)
        self.out.write(b"070701" + b"".join(b"%08X" % f for f in fields))
        self.out.write(name.encode() + b"\0")
        self.pad()
        self.out.write(data)
        self.pad()

    def parents(self, name):
        for parent in reversed(pathlib.PurePosixPath(name).parents):
            if str(parent) != "." and str(parent) not in self.names:
                self.names.add(str(parent))
                self.entry(str(parent), stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        if name in self.names:
            return
        self.parents(name)
        self.names.add(name)
        self.entry(name, stat.S_IFREG | mode, data)

    def device(self, name, major, minor):
        self.parents(name)
        self.entry(name, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def end(self):
        self.inode = 0
        self.entry("TRAILER!!!", 0)


# ---- kernel modules ----

def module_name(path):
    return path.name.split(".")[0].replace("-", "_")


def module_depends(path):
    """From the module itself, so that no modules.dep, and no kmod, is needed."""
    found = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
    if not found:
        raise Refused(f"{path}: no module information")
    return [n.replace("-", "_") for n in found.group(1).decode().split(",") if n]


def module_order(folder, wanted):
    """The files of the wanted modules and of all that they depend on, in the order of loading."""
    files = {module_name(p): p for p in folder.rglob("*.ko*")}
    builtin = {module_name(pathlib.PurePath(line))
               for line in (folder / "modules.builtin").read_text().split()}
    order = []

    def add(name):
        if name in builtin or files.get(name) in order:
            return
        if name not in files:
            raise Refused(f"{folder}: no module {name}")
        for dependency in module_depends(files[name]):
            add(dependency)
        order.append(files[name])

    for name in wanted:
        add(name)
    return order


def wanted_modules(path):
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


# ---- programs ----

def elf_needs(data):
    """(names of the shared libraries, path of the loader) of a 64-bit little-endian ELF file."""
    if data[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", data, 18)[0] != 183:
        return None
    offset, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    loads, dynamic, loader = [], None, None
    for i in range(count):
        kind, _, at, vaddr, _, filesz = struct.unpack_from("<IIQQQQ", data, offset + i * size)
        if kind == 1:
            loads.append((vaddr, filesz, at))
        elif kind == 2:
            dynamic = (at, filesz)
        elif kind == 3:
            loader = data[at:at + filesz].rstrip(b"\0").decode()
    if dynamic is None:
        return [], loader
    tags = list(struct.iter_unpack("<QQ", data[dynamic[0]:dynamic[0] + dynamic[1] // 16 * 16]))
    strings, = [v for t, v in tags if t == 5] or [0]
    base = next(at + strings - vaddr for vaddr, filesz, at in loads
                if vaddr <= strings < vaddr + filesz)
    names = [data[base + v:data.index(b"\0", base + v)].decode() for t, v in tags if t == 1]
    return names, loader


class Programs:
    def __init__(self, cpio, roots):
        self.cpio, self.roots = cpio, roots
        self.done = set()

    def find(self, name):
        for root in self.roots:
            for lib in LIB_DIRS:
                if (root / lib / name).exists():
                    return root / lib / name
        raise Refused(f"no library {name} in {', '.join(map(str, self.roots))}")

    def add(self, path, name):
        data = path.read_bytes()
        needs = elf_needs(data)
        if needs is None:
            if data[:2] != b"#!":
                raise Refused(f"{path}: not a program of arm64")
            needs = [], None
        self.cpio.file(name, data, 0o755)
        names, loader = needs
        if loader:
            names = names + [pathlib.PurePath(loader).name]
        for library in names:
            if library not in self.done:
                self.done.add(library)
                # The loader's own path is the first in which it looks.
                self.add(self.find(library), f"lib/{library}")


def build(args):
    kernel, = (args.kernel / "lib/modules").glob("*")
    with open(args.out, "wb") as out:
        cpio = Cpio(out)
        cpio.device("dev/console", 5, 1)
        cpio.file("init", args.init.read_bytes(), 0o755)
        order = module_order(kernel, wanted_modules(args.modules))
        for path in order:
            cpio.file(f"lib/modules/{path.name}", path.read_bytes())
        cpio.file("lib/modules/load", "".join(f"/lib/modules/{p.name}\n" for p in order).encode())
        programs = Programs(cpio, args.root)
        for spec in args.program:
            path, _, name = spec.partition(":")
            programs.add(pathlib.Path(path), name.lstrip("/"))
        for spec in args.file:
            path, _, name = spec.partition(":")
            cpio.file(name.lstrip("/"), pathlib.Path(path).read_bytes())
        cpio.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--init", type=pathlib.Path, required=True)
    parser.add_argument("--kernel", type=pathlib.Path, required=True,
                        help="the unpacked kernel package")
    parser.add_argument("--modules", type=pathlib.Path, required=True,
                        help="list of modules to be loaded")
    parser.add_argument("--root", type=pathlib.Path, action="append", default=[],
                        help="where libraries are looked for")
    parser.add_argument("--program", action="append", default=[], metavar="FILE:NAME")
    parser.add_argument("--file", action="append", default=[], metavar="FILE:NAME")
    args = parser.parse_args()
    try:
        build(args)
    except (Refused, OSError) as e:
        args.out.unlink(missing_ok=True)
        print(f"initramfs: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
