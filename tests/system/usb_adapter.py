"""CAN adapters on USB, simulated in the guest for the kernel's own drivers. See guest/usb."""

import contextlib

from stack import wait_for


@contextlib.contextmanager
def plugged_in(car, driver, name, for_good=False):
    """guest/DRIVER_adapter, its interface named; gives the command, whose output says what the driver
    sets. Its control FIFO is /run/test/DRIVER. for_good: it is never unplugged, because the kernel's
    driver spoils memory then; the machine ends instead, and the next test boots it."""
    car.run(f"mkdir -p /run/test; mkfifo /run/test/{driver}")
    command = car.start(f"exec {driver}_adapter /run/test/{driver}")
    find = f"grep -l DRIVER={driver} /sys/class/net/*/device/uevent"
    wait_for("the driver", lambda: car.run(find, check=False).out)
    car.run(f"ip link set {car.run(find).out.strip().split('/')[4]} name {name}")
    yield command
    if for_good:
        car.guest.kill()
        return
    # Its end unplugs it.
    car.signal(command, "TERM")
    wait_for("the interface to go",
             lambda: car.run(f"ip link show {name}", check=False).code != 0)
