# What the toolchain files share. They set TOWLINE_TRIPLET (GNU's and Debian's multiarch name),
# TOWLINE_DEBIAN_ARCH and TOWLINE_QEMU, then include this.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER ${TOWLINE_TRIPLET}-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE ${TOWLINE_TRIPLET})

# -DCMAKE_SYSROOT=DIR takes another sysroot than the one of toolchains/sysroot.
if(NOT CMAKE_SYSROOT)
	get_filename_component(CMAKE_SYSROOT
		"${CMAKE_CURRENT_LIST_DIR}/../build/sysroot/${TOWLINE_DEBIAN_ARCH}" ABSOLUTE)
endif()
if(NOT IS_DIRECTORY "${CMAKE_SYSROOT}/usr")
	message(FATAL_ERROR "no sysroot in ${CMAKE_SYSROOT}: run toolchains/sysroot ${TOWLINE_DEBIAN_ARCH}")
endif()
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES CMAKE_SYSROOT)

# Debian's cross compilers look for libc in /usr/${TOWLINE_TRIPLET} before they look in a sysroot.
# These let the sysroot's libc, headers and start files win.
set(CMAKE_C_FLAGS_INIT
	"-isystem ${CMAKE_SYSROOT}/usr/include/${TOWLINE_TRIPLET} -isystem ${CMAKE_SYSROOT}/usr/include")
set(sysroot_link "-B${CMAKE_SYSROOT}/usr/lib/${TOWLINE_TRIPLET}/ -L${CMAKE_SYSROOT}/usr/lib/${TOWLINE_TRIPLET}")
set(CMAKE_EXE_LINKER_FLAGS_INIT "${sysroot_link}")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "${sysroot_link}")

# Programs (protoc-c, pkg-config) are the host's; everything that is linked is the sysroot's.
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_PATH} "")
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${CMAKE_SYSROOT}")
set(ENV{PKG_CONFIG_LIBDIR}
	"${CMAKE_SYSROOT}/usr/lib/${TOWLINE_TRIPLET}/pkgconfig:${CMAKE_SYSROOT}/usr/lib/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig")

# Runs the unit tests. Without it the build works, and ctest does not.
find_program(TOWLINE_QEMU_PROGRAM ${TOWLINE_QEMU})
if(TOWLINE_QEMU_PROGRAM)
	set(CMAKE_CROSSCOMPILING_EMULATOR "${TOWLINE_QEMU_PROGRAM};-L;${CMAKE_SYSROOT}")
endif()
