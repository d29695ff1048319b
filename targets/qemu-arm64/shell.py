"""A shell in the guest on this terminal."""

import os
import pathlib
import sys

from vm import QEMU, qemu_argv


def main():
    image = pathlib.Path(sys.argv[1])
    share = image / "share"
    share.mkdir(exist_ok=True)
    argv = qemu_argv(image, "shell", share) + ["-serial", "mon:stdio"]
    print(f"qemu-arm64: {share} is /host in the guest; Ctrl-A x ends it", flush=True)
    os.execvp(QEMU, argv)


if __name__ == "__main__":
    main()
