# Only with MACHINEOVERRIDES .= ":towline-can": a layer that is merely there changes nothing.
FILESEXTRAPATHS:prepend:towline-can := "${THISDIR}/linux-yocto:"

SRC_URI:append:towline-can = " file://can.cfg"
