SUMMARY = "A small image with the Towline agent"
DESCRIPTION = "An example to start from: what boots, and packagegroup-towline."
LICENSE = "Apache-2.0"

inherit core-image

IMAGE_INSTALL = "packagegroup-core-boot packagegroup-towline ${CORE_IMAGE_EXTRA_INSTALL}"
