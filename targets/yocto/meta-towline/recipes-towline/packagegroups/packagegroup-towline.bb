SUMMARY = "What a vehicle's unit with Towline has"
DESCRIPTION = "The agent, and what looks at CAN interfaces by hand."
LICENSE = "Apache-2.0"

inherit packagegroup

RDEPENDS:${PN} = "\
    can-utils \
    iproute2-ip \
    towline-agent \
"
