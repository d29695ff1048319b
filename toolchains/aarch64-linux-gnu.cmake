# arm64 with Debian's cross compiler and a sysroot of toolchains/sysroot.
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(TOWLINE_TRIPLET aarch64-linux-gnu)
set(TOWLINE_DEBIAN_ARCH arm64)
set(TOWLINE_QEMU qemu-aarch64-static)
include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)
