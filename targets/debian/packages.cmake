# What each package is. Read by CMakeLists.txt.
set(TOWLINE_PACKAGES agent relay tools)

set(agent_SUMMARY "joins a vehicle's buses to its cloud over MQTT")
set(agent_SECTION net)
set(agent_TEXT
"towline-agent runs on a vehicle's Linux unit. It reads CAN (SocketCAN),
decodes it by a catalog, collects the signals that it was told to, keeps
them in batches on disk, and publishes them over MQTT 5 until the relay
has confirmed each batch.")
set(agent_USER towline)
set(agent_NEEDS "systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles")

set(relay_SUMMARY "takes the batches of Towline's vehicles from a broker")
set(relay_SECTION net)
set(relay_TEXT
"towline-relay takes batches of vehicles' signals from an MQTT broker,
stores them durably before it confirms them, and serves vehicles, their
last known state, the history of signals and live events over HTTP.")
set(relay_USER towline-relay)
set(relay_NEEDS "systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles")
set(relay_RECOMMENDS mosquitto)

set(tools_SUMMARY "command line of Towline: vehicles, signals, catalogs, bus logs")
set(tools_SECTION utils)
set(tools_TEXT
"towline shows the vehicles of a relay and their signals, compiles DBC
files into catalogs, decodes bus logs to CSV or JSON, plays them onto
CAN interfaces, and is a certificate authority for development.")

# Libraries that programs may need, by soname, with the package of Debian 12 and the least version
# that has all that we use. CMakeLists.txt takes those that are needed and refuses others.
set(TOWLINE_LIBRARIES
	"libc.so.6|libc6 (>= 2.36)"
	"libm.so.6|libc6 (>= 2.36)"
	"ld-linux-aarch64.so.1|libc6 (>= 2.36)"
	"ld-linux-armhf.so.3|libc6 (>= 2.36)"
	"ld-linux-x86-64.so.2|libc6 (>= 2.36)"
	"libgcc_s.so.1|libgcc-s1 (>= 3.5)"
	"libcrypto.so.3|libssl3 (>= 3.0.0)"
	"libcurl.so.4|libcurl4 (>= 7.88.1)"
	"libinih.so.1|libinih1 (>= 55)"
	"libjansson.so.4|libjansson4 (>= 2.14)"
	"libmicrohttpd.so.12|libmicrohttpd12 (>= 0.9.75)"
	"libmnl.so.0|libmnl0 (>= 1.0.4)"
	"libpaho-mqtt3as.so.1|libpaho-mqtt1.3 (>= 1.3.12)"
	"libprotobuf-c.so.1|libprotobuf-c1 (>= 1.4.1)"
	"libsocketcan.so.2|libsocketcan2 (>= 0.0.12)"
	"libsqlite3.so.0|libsqlite3-0 (>= 3.40.1)"
	"libwolfssl.so.35|libwolfssl35 (>= 5.5.4)"
	"libz.so.1|zlib1g (>= 1:1.2.13)")
