# armhf (ARMv7-A with VFPv3-D16) with Debian's cross compiler and a sysroot of toolchains/sysroot.
set(CMAKE_SYSTEM_PROCESSOR armv7l)
set(TOWLINE_TRIPLET arm-linux-gnueabihf)
set(TOWLINE_DEBIAN_ARCH armhf)
set(TOWLINE_QEMU qemu-arm-static)
include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)
