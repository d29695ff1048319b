SUMMARY = "Joins a vehicle's buses to its cloud over MQTT"
SUMMARY:towline-relay = "Takes the batches of Towline's vehicles from a broker"
SUMMARY:towline-tools = "Command line of Towline"
DESCRIPTION = "Reads CAN, decodes it by a catalog, collects the signals that it was told to, \
keeps them in batches on disk, and publishes them over MQTT 5 until the relay has confirmed \
each batch."
SECTION = "net"
CVE_PRODUCT = "towline"

LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

DEPENDS = "\
    libinih \
    libmnl \
    libsocketcan \
    openssl \
    paho-mqtt-c \
    protobuf-c \
    protobuf-c-native \
    sqlite3 \
    wolfssl \
    zlib \
"

# The layer is in the tree that it builds, and takes what is committed there. A distribution that
# pins a release sets these three for this recipe (:pn-towline-agent).
TOWLINE_TREE = "${@os.path.realpath(d.getVar('FILE_DIRNAME') + '/../../../../..')}"
TOWLINE_GIT ?= "git://${TOWLINE_TREE};protocol=file"
TOWLINE_BRANCH ?= "main"
SRC_URI = "${TOWLINE_GIT};branch=${TOWLINE_BRANCH}"
SRCREV ?= "${AUTOREV}"

S = "${WORKDIR}/git"

inherit cmake features_check pkgconfig systemd useradd

REQUIRED_DISTRO_FEATURES = "systemd"

PACKAGECONFIG ?= ""
# Lets the agent set CAN interfaces up: gives it CAP_NET_ADMIN.
PACKAGECONFIG[can-setup] = ",,"
PACKAGECONFIG[tools] = "-DTOWLINE_TOOLS=ON,-DTOWLINE_TOOLS=OFF,curl jansson"
PACKAGECONFIG[relay] = "-DTOWLINE_RELAY=ON,-DTOWLINE_RELAY=OFF,jansson libmicrohttpd"

EXTRA_OECMAKE = "-DTOWLINE_AGENT=ON -DTOWLINE_TESTS=OFF"

do_install:append() {
    install -D -m 0644 ${S}/targets/debian/agent/towline-agent.service \
        ${D}${systemd_system_unitdir}/towline-agent.service
    install -D -m 0644 ${S}/targets/debian/agent/tmpfiles.conf \
        ${D}${nonarch_libdir}/tmpfiles.d/towline-agent.conf
    install -D -m 0644 ${S}/targets/debian/agent/sysctl.conf \
        ${D}${nonarch_libdir}/sysctl.d/60-towline-agent.conf
    # It may hold the broker's password: for the service alone.
    install -D -m 0640 ${S}/targets/debian/agent/agent.conf \
        ${D}${sysconfdir}/towline/agent.conf
    chown root:towline ${D}${sysconfdir}/towline/agent.conf

    if ${@bb.utils.contains('PACKAGECONFIG', 'can-setup', 'true', 'false', d)}; then
        install -D -m 0644 ${S}/targets/debian/agent/can-setup.conf \
            ${D}${systemd_system_unitdir}/towline-agent.service.d/can-setup.conf
    fi
    if ${@bb.utils.contains('PACKAGECONFIG', 'relay', 'true', 'false', d)}; then
        install -D -m 0644 ${S}/targets/debian/relay/towline-relay.service \
            ${D}${systemd_system_unitdir}/towline-relay.service
        install -D -m 0644 ${S}/targets/debian/relay/tmpfiles.conf \
            ${D}${nonarch_libdir}/tmpfiles.d/towline-relay.conf
        install -D -m 0640 ${S}/targets/debian/relay/relay.conf \
            ${D}${sysconfdir}/towline/relay.conf
        chown root:towline-relay ${D}${sysconfdir}/towline/relay.conf
    fi
}

RELAY_PACKAGE = "${@bb.utils.contains('PACKAGECONFIG', 'relay', 'towline-relay', '', d)}"
TOOLS_PACKAGE = "${@bb.utils.contains('PACKAGECONFIG', 'tools', 'towline-tools', '', d)}"
PACKAGE_BEFORE_PN = "${RELAY_PACKAGE} ${TOOLS_PACKAGE}"

FILES:towline-tools = "${bindir}/towline"

FILES:towline-relay = "\
    ${bindir}/towline-relay \
    ${systemd_system_unitdir}/towline-relay.service \
    ${nonarch_libdir}/tmpfiles.d/towline-relay.conf \
    ${sysconfdir}/towline/relay.conf \
"
CONFFILES:towline-relay = "${sysconfdir}/towline/relay.conf"

FILES:${PN} += "\
    ${systemd_system_unitdir}/towline-agent.service.d \
    ${nonarch_libdir}/tmpfiles.d \
    ${nonarch_libdir}/sysctl.d \
"
CONFFILES:${PN} = "${sysconfdir}/towline/agent.conf"

SYSTEMD_PACKAGES = "${PN} ${RELAY_PACKAGE}"
SYSTEMD_SERVICE:${PN} = "towline-agent.service"
SYSTEMD_SERVICE:towline-relay = "towline-relay.service"

USERADD_PACKAGES = "${PN} ${RELAY_PACKAGE}"
USERADD_PARAM:${PN} = "--system --user-group --no-create-home \
    --home-dir ${localstatedir}/lib/towline --shell /sbin/nologin towline"
USERADD_PARAM:towline-relay = "--system --user-group --no-create-home \
    --home-dir ${localstatedir}/lib/towline-relay --shell /sbin/nologin towline-relay"

RRECOMMENDS:${PN} += "\
    kernel-module-can \
    kernel-module-can-isotp \
    kernel-module-can-j1939 \
    kernel-module-can-raw \
"
