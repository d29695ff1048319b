#include "agent/config/config.h"

#include "agent/publish/flight.h"

static const struct conf_section sections[] = {
	{"agent", false, "Who this is, and where it keeps its files."},
	{"catalog", false, "What the bits of the buses mean."},
	{"mqtt", false, "The broker."},
	{"batch", false, "How many samples make one message."},
	{"outbox", false, "Batches on disk until the relay has them."},
	{"publish", false, "What is on its way at once."},
	{"can", true,
	 "CAN interface NAME, set and taken up by the agent, which needs CAP_NET_ADMIN for it. One "
	 "that has no such section is used as it is."},
	{"source", true, "Where frames come from; one section a source."},
	{"poll", true, "What a source of type diag or j1939 asks for."},
	{"collect", true,
	 "What is collected; the first section in the file that matches a signal decides."},
};

#define STRING(sec, name, dflt, lo, hi, rel, text)                                                 \
	{                                                                                          \
		.section = sec, .key = name, .type = CONF_STRING, .def = dflt, .min = lo,          \
		.max = hi, .help = text, .reloads = rel                                            \
	}
#define INTEGER(sec, name, dflt, lo, hi, rel, text)                                                \
	{                                                                                          \
		.section = sec, .key = name, .type = CONF_INT, .def = dflt, .min = lo, .max = hi,  \
		.help = text, .reloads = rel                                                       \
	}
#define BOOLEAN(sec, name, dflt, text)                                                             \
	{                                                                                          \
		.section = sec, .key = name, .type = CONF_BOOL, .def = dflt, .help = text          \
	}
#define CHOICE(sec, name, dflt, list, rel, text)                                                   \
	{                                                                                          \
		.section = sec, .key = name, .type = CONF_ENUM, .def = dflt, .choices = list,      \
		.help = text, .reloads = rel                                                       \
	}

static const struct conf_key keys[] = {
	STRING("agent", "vehicle", NULL, 1, 64, false,
	       "Id of the vehicle, a UUID as a rule and never a VIN: letters, digits, . _ -"),
	STRING("agent", "device", NULL, 1, 64, false, "Id of this device; MQTT client id too"),
	INTEGER("agent", "part", "0", 0, 65535, false, "Partition that the vehicle belongs to"),
	STRING("agent", "data_dir", NULL, 1, 1024, false,
	       "Folder of outbox.db; made when missing. One agent a folder"),
	CHOICE("agent", "log_level", "info", "error|warn|info|debug", true, "What is logged"),
	STRING("agent", "status_file", "", 0, 1024, false,
	       "JSON of all counters, replaced each second and at exit; empty: none"),
	BOOLEAN("agent", "exit_when_drained", "false",
		"Exit 0 once all sources have ended and every batch has its receipt"),

	STRING("catalog", "file", NULL, 1, 1024, false,
	       "Catalog as `towline catalog build` makes it"),
	STRING("catalog", "dictionary", "", 0, 1024, false,
	       "Dictionary of that catalog as `towline dictionary build` makes it: smaller "
	       "batches, "
	       "which the relay reads once it has it, too (`towline dictionary push`); empty: "
	       "none"),

	STRING("mqtt", "uri", "mqtt://127.0.0.1:1883", 1, 512, false,
	       "mqtts://host[:8883], which is TLS, or mqtt://host[:1883], for brokers on this "
	       "machine"),
	STRING("mqtt", "ca", "", 0, 1024, false,
	       "mqtts: PEM file of the CAs that the broker's certificate may be of. Replaced "
	       "files, "
	       "also of the next two keys, are used from the next connection on"),
	STRING("mqtt", "certificate", "", 0, 1024, false,
	       "mqtts: PEM file of this device's certificate, with its chain; empty: none"),
	STRING("mqtt", "key", "", 0, 1024, false,
	       "mqtts: PEM file of its private key, mode 0600, no pass phrase; empty: it is in the "
	       "certificate's file"),
	BOOLEAN("mqtt", "insecure", "false",
		"Plain mqtt:// to brokers on other machines, too: whoever is on the way reads and "
		"changes all"),
	STRING("mqtt", "username", "", 0, 256, false, "Empty: none"),
	STRING("mqtt", "password", "", 0, 256, false, "Empty: none"),
	INTEGER("mqtt", "keepalive_s", "30", 5, 65535, false, "Seconds of silence before a ping"),
	INTEGER("mqtt", "connect_timeout_s", "10", 1, 300, false, "Longest wait for a connection"),
	INTEGER("mqtt", "backoff_min_ms", "500", 10, 600000, false,
		"First wait before another attempt; doubles with jitter"),
	INTEGER("mqtt", "backoff_max_ms", "60000", 10, 3600000, false, "Longest such wait"),
	INTEGER("mqtt", "session_expiry_s", "86400", 1, 4294967295, false,
		"How long the broker keeps receipts for a device that is away"),

	INTEGER("batch", "max_age_ms", "10000", 10, 3600000, true,
		"A batch is closed this long after its first sample"),
	INTEGER("batch", "max_samples", "32768", 16, 262144, false,
		"... or when it holds so many. Memory: about 40 bytes each, times the builders"),
	INTEGER("batch", "queue", "3", 1, 8, false,
		"Batches that may wait for the disk; beyond, replays wait and CAN frames drop"),
	INTEGER("batch", "time_unit_us", "1000", 1, 1000000, false,
		"Resolution of time on the wire"),

	INTEGER("outbox", "max_bytes", "268435456", 65536, 1099511627776, false,
		"Quota; when full, the oldest batches of the least urgent class are dropped"),
	INTEGER("outbox", "file_max_bytes", "0", 0, 1099511627776, false,
		"Hard bound of the file, which then counts as a full disk; 0: none"),
	INTEGER("outbox", "sync_ms", "10000", 0, 3600000, false,
		"Batches of class bulk, log and status may be lost by a power cut for so long "
		"after they were stored, which spares the flash; what is lost is told. 0, and "
		"class event and live: on disk at once"),
	INTEGER("outbox", "expire_event_s", "0", 0, 315360000, false,
		"Batches of class event that are older are not worth sending: dropped, and told. "
		"0: never"),
	INTEGER("outbox", "expire_live_s", "0", 0, 315360000, false, "The same of class live"),
	INTEGER("outbox", "expire_bulk_s", "0", 0, 315360000, false, "The same of class bulk"),
	INTEGER("outbox", "expire_log_s", "0", 0, 315360000, false, "The same of class log"),
	INTEGER("outbox", "expire_status_s", "0", 0, 315360000, false, "The same of class status"),
	STRING("outbox", "key_file", "", 0, 1024, false,
	       "Batches are encrypted on disk by this key: 32 bytes or 64 hex digits, mode 0600. "
	       "Empty: they are not, but by pkcs11_key. See KEYS OF THE OUTBOX"),
	STRING("outbox", "previous_key_file", "", 0, 1024, false,
	       "The key before it, to be replaced at this start; empty: none"),
	STRING("outbox", "pkcs11_module", "", 0, 1024, false,
	       "Absolute path of the library through which a token is reached, in place of "
	       "key_file"),
	STRING("outbox", "pkcs11_token", "", 0, 32, false, "The token's label"),
	STRING("outbox", "pkcs11_pin_file", "", 0, 1024, false,
	       "File with the user's PIN, mode 0600. A wrong one is tried once"),
	STRING("outbox", "pkcs11_key", "", 0, 255, false,
	       "Label of an AES-256 key in the token, which it does not leave"),
	STRING("outbox", "pkcs11_previous_key", "", 0, 255, false,
	       "The key before it, in the same token; empty: none"),

	INTEGER("publish", "window", "1024", 4, FLIGHT_ROWS_MAX, false,
		"Most batches without receipt at once, a quarter of them for event and live alone. "
		"It begins with 32, grows while receipts come in time, and halves when "
		"somebody refuses"),
	INTEGER("publish", "window_bytes", "4194304", 1024, 67108864, false,
		"Most bytes of them, likewise; and what may be on the wire at once, which follows "
		"the link's rate, is never above it"),
	INTEGER("publish", "receipt_timeout_s", "30", 1, 3600, false,
		"A batch without receipt is sent again after it; doubles each time"),

	INTEGER("can", "bitrate", "0", 0, 1000000, false,
		"bit/s; 0: the interface is left as it is, and only watched, and with restart_ms "
		"restarted"),
	STRING("can", "sample_point", "", 0, 16, false,
	       "0.500 to 0.990; empty: CiA's recommendation (0.875 up to 500 kbit/s)"),
	INTEGER("can", "sjw", "0", 0, 128, false,
		"Synchronization jump width in time quanta; 0: the kernel's choice"),
	BOOLEAN("can", "fd", "false", "CAN FD; needs dbitrate"),
	INTEGER("can", "dbitrate", "0", 0, 12000000, false, "fd: bit/s of the data phase"),
	STRING("can", "dsample_point", "", 0, 16, false, "fd: of the data phase, likewise"),
	INTEGER("can", "dsjw", "0", 0, 128, false, "fd: of the data phase"),
	INTEGER("can", "restart_ms", "100", 0, 60000, false,
		"A controller that went bus-off is started again after it; 0: never. With "
		"bitrate=0 "
		"only where it is given"),
	INTEGER("can", "restart_max_ms", "10000", 0, 3600000, false,
		"Where the agent restarts, because the kernel does not, the wait doubles up to "
		"this "
		"while the bus stays broken"),
	BOOLEAN("can", "listen_only", "false",
		"Never sends, not even acknowledgements or error flags"),
	BOOLEAN("can", "loopback", "false", "For tests: the controller receives what it sends"),
	BOOLEAN("can", "berr_reporting", "false",
		"An error frame for each error on the bus, not only for changes of state"),

	CHOICE("source", "type", NULL, "replay|socketcan|diag|j1939", false, "Kind of source"),
	STRING("source", "path", "", 0, 1024, false,
	       "replay: candump log, plain or gzip, or a FIFO; - is standard input"),
	STRING("source", "speed", "1", 1, 16, false,
	       "replay: times real time, or max: as fast as possible"),
	BOOLEAN("source", "loop", "false", "replay: start over at the end of the file"),
	CHOICE("source", "timestamps", "now", "now|log", false,
	       "replay: now: the first frame happens when it is read, the others as far from it as "
	       "in the log. log: wall times are the log's"),
	STRING("source", "interface", "", 0, 15, false, "socketcan, diag, j1939: can0"),
	STRING("source", "bus", "", 0, 64, false,
	       "socketcan, diag, j1939: bus of the catalog; empty: the interface's name"),
	BOOLEAN("source", "filter", "true",
		"socketcan: the kernel drops frames that no rule needs; false: all are read, so "
		"that "
		"frames_unknown tells what the catalog lacks"),
	BOOLEAN("source", "hardware_times", "true",
		"socketcan: receive times of the controller where it has a clock"),
	INTEGER("source", "status_period_ms", "1000", 100, 3600000, false,
		"socketcan: how often the bus tells its status, if the catalog has a message for "
		"it "
		"(catalog build --bus-status); changes of state at once"),

	STRING("source", "request", "", 0, 16, false,
	       "diag: identifier of requests to the ECU: 0x7E0, or 29 bits: 0x18DA10F1, above "
	       "0x7FF "
	       "or written with 8 digits"),
	STRING("source", "response", "", 0, 16, false, "diag: identifier of its responses: 0x7E8"),
	STRING("source", "functional", "", 0, 16, false,
	       "diag: identifier of OBD requests to all ECUs: 0x7DF. Empty: they go to the ECU's "
	       "own"),
	STRING("source", "padding", "0xCC", 1, 8, false,
	       "diag: what fills frames up to 8 bytes, as ISO 15765-4 asks; none: they stay short"),
	BOOLEAN("source", "fd", "false", "diag: CAN FD frames of up to 64 bytes"),
	INTEGER("source", "block_size", "0", 0, 255, false,
		"diag: frames that the ECU may send before it waits for us; 0: all"),
	INTEGER("source", "st_min_ms", "0", 0, 127, false,
		"diag: least time between frames of the ECU"),
	INTEGER("source", "p2_ms", "150", 1, 60000, false,
		"diag: how long an ECU may take until its response begins (P2 of ISO 14229-2, and "
		"the way through gateways)"),
	INTEGER("source", "p2_star_ms", "5000", 1, 600000, false,
		"diag: ... after it has said responsePending (P2*)"),
	INTEGER("source", "silent_s", "30", 1, 86400, false,
		"diag: after three requests without response, one in this time"),

	CHOICE("source", "protocol", "auto", "auto|kernel|raw", false,
	       "j1939: kernel: its CAN_J1939; raw: raw frames, put together here; auto: the "
	       "kernel's where it has it"),
	INTEGER("source", "address", "254", 0, 254, false,
		"j1939: own address, for which the kernel answers sessions and from which is asked "
		"([poll] service = pgn); 254: none, listens only"),
	STRING("source", "name", "", 0, 18, false,
	       "j1939: NAME of SAE J1939-81, 16 hexadecimal digits, with which the address is "
	       "claimed; empty: the address is fixed"),

	STRING("poll", "source", NULL, 1, 40, false, "Name of the [source], of type diag or j1939"),
	CHOICE("poll", "service", NULL,
	       "obd_current|obd_dtcs|obd_pending|obd_permanent|obd_info|uds_did|uds_dtcs|pgn",
	       false,
	       "diag: OBD-II 01, 03, 07, 0A, 09; UDS 22, 19. j1939: pgn (request 59904). What no "
	       "rule collects is not asked for"),
	{.section = "poll",
	 .key = "ids",
	 .type = CONF_LIST,
	 .def = "",
	 .max = 256,
	 .help = "PIDs, info types or DIDs: 0x0C, 0xF187/10: with the bytes of its record, where "
		 "the catalog does not tell. auto: all that the ECU says it supports (OBD). PGNs: "
		 "65253, 0xFEE5"},
	INTEGER("poll", "period_ms", "1000", 10, 86400000, false, "How often"),
	INTEGER("poll", "group", "6", 1, 8, false,
		"Most identifiers of one request; 1: each alone. An ECU that refuses several is "
		"found out"),
	STRING("poll", "status_mask", "0x08", 1, 4, false,
	       "uds_dtcs: DTCs with one of these status bits: 0x01 failing now, 0x04 pending, 0x08 "
	       "confirmed"),
	INTEGER("poll", "destination", "255", 0, 255, false,
		"pgn: address of the node that is asked; 255: all"),

	{.section = "collect",
	 .key = "signals",
	 .type = CONF_LIST,
	 .min = 1,
	 .max = 1024,
	 .help = "bus.message.signal, ...; * stands for any text in a part, * alone for all",
	 .reloads = true},
	CHOICE("collect", "mode", "every", "every|change|period", true,
	       "every: each sample; change: those that differ from the last; period: the first of "
	       "each period"),
	INTEGER("collect", "period_ms", "1000", 1, 86400000, true, "period: its length"),
	CHOICE("collect", "class", "bulk", "event|live|bulk|log|status", true,
	       "Urgency; its batches travel and wait apart"),
};

static const struct conf_table table = {
	.sections = sections,
	.n_sections = array_len(sections),
	.keys = keys,
	.n_keys = array_len(keys),
};

const struct conf_table *config_table(void)
{
	return &table;
}
