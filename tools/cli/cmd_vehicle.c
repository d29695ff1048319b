/* towline vehicle: who is in the relay's registry. */
#include "tools/cli/api.h"
#include "tools/cli/options.h"
#include "tools/cli/term.h"

#include <getopt.h>
#include <string.h>

struct vehicle_options {
	const char *relay, *id, *name;
	long part;
	json_t *devices;
	bool json;
};

static int take_device(void *to, const char *text)
{
	return json_array_append_new(to, json_string(text)) < 0 ? -EINVAL : 0;
}

static int parse_options(int argc, char **argv, struct vehicle_options *o)
{
	const struct cli_option options[] = {
		OPTION_RELAY(&o->relay),
		OPTION_JSON(&o->json),
		{.name = "id", .kind = OPTION_TEXT, .to = &o->id},
		{.name = "name", .kind = OPTION_TEXT, .to = &o->name},
		{.name = "part",
		 .kind = OPTION_NUMBER,
		 .to = &o->part,
		 .min = 0,
		 .max = UINT16_MAX},
		{.name = "device",
		 .kind = OPTION_CALL,
		 .to = o->devices,
		 .take = take_device,
		 .what = "UTF-8"},
	};

	return cli_options(&cmd_vehicle, argc, argv, options, array_len(options));
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

static void print_vehicle(const json_t *vehicle)
{
	struct table *t = table_new(5);
	json_t *device;
	size_t i;

	printf("vehicle    %s\nname       %s\npartition  %lld\ncreated    %s\nlast seen  %s\n",
	       text_of(vehicle, "id"), text_of(vehicle, "name"),
	       (long long)json_integer_value(json_object_get(vehicle, "part")),
	       text_of(vehicle, "created"), text_of(vehicle, "last_seen"));
	if (!t || json_array_size(json_object_get(vehicle, "devices")) == 0) {
		table_free(t);
		return;
	}
	table_cell(t, "DEVICE");
	table_cell(t, "LAST SEEN");
	table_cell(t, "BATCHES");
	table_cell(t, "SAMPLES");
	table_cell(t, "EPOCH");
	table_align_right(t, 2);
	table_align_right(t, 3);
	json_array_foreach(json_object_get(vehicle, "devices"), i, device)
	{
		table_cell(t, text_of(device, "id"));
		table_cell(t, text_of(device, "last_seen"));
		table_cellf(t, "%lld",
			    (long long)json_integer_value(json_object_get(device, "batches")));
		table_cellf(t, "%lld",
			    (long long)json_integer_value(json_object_get(device, "samples")));
		table_cell(t, text_of(device, "epoch"));
	}
	putchar('\n');
	table_print(t, stdout);
	table_free(t);
}

static int print_answer(const struct vehicle_options *o, json_t *answer)
{
	if (o->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_vehicle(answer);
	}
	json_decref(answer);
	return EXIT_OK;
}

static int vehicle_add(struct api *a, const struct vehicle_options *o)
{
	json_t *body = json_pack("{s:i, s:O, s:s*, s:s*}", "part", (int)o->part, "devices",
				 o->devices, "id", o->id, "name", o->name);
	json_t *answer = NULL;
	int code;

	if (!body)
		return cli_usage(&cmd_vehicle, "--id or --name is not UTF-8");
	code = api_post_json(a, "/v1/vehicles", body, &answer);
	json_decref(body);
	if (code != EXIT_OK)
		return code;
	return print_answer(o, answer);
}

static void add_rows(struct table *t, const json_t *vehicles)
{
	json_t *v;
	size_t i;

	json_array_foreach(vehicles, i, v)
	{
		table_cell(t, text_of(v, "id"));
		table_cell(t, text_of(v, "name"));
		table_cellf(t, "%zu", json_array_size(json_object_get(v, "devices")));
		table_cell(t, text_of(v, "last_seen"));
	}
}

/* Collects every page. */
static int fetch_vehicles(struct api *a, json_t *all)
{
	char *after cleanup(free_ptr) = NULL;
	int code;

	for (;;) {
		json_t *page = NULL;
		const char *next;

		code = after ? api_get(a, &page, "/v1/vehicles?limit=1000&after=%s", after)
			     : api_get(a, &page, "/v1/vehicles?limit=1000");
		if (code != EXIT_OK)
			return code;
		json_array_extend(all, json_object_get(page, "vehicles"));
		next = json_string_value(json_object_get(page, "next"));
		free(after);
		after = next ? api_escape(next) : NULL;
		json_decref(page);
		if (!after)
			return EXIT_OK;
	}
}

static int vehicle_list(struct api *a, const struct vehicle_options *o)
{
	json_t *all = json_array();
	struct table *t = table_new(4);
	int code = fetch_vehicles(a, all);

	if (code == EXIT_OK && o->json) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (code == EXIT_OK && t) {
		table_cell(t, "VEHICLE");
		table_cell(t, "NAME");
		table_cell(t, "DEVICES");
		table_cell(t, "LAST SEEN");
		table_align_right(t, 2);
		add_rows(t, all);
		table_print(t, stdout);
	}
	table_free(t);
	json_decref(all);
	return code;
}

static int vehicle_show(struct api *a, const struct vehicle_options *o, const char *vehicle)
{
	json_t *answer = NULL;
	int code = api_get(a, &answer, "/v1/vehicles/%s", vehicle);

	return code == EXIT_OK ? print_answer(o, answer) : code;
}

static int vehicle_add_device(struct api *a, const struct vehicle_options *o, const char *vehicle,
			      const char *device)
{
	json_t *body = json_pack("{s:s}", "id", device);
	char path[512];
	json_t *answer = NULL;
	int code;

	if (!body)
		return cli_usage(&cmd_vehicle, "the device's id is not UTF-8");
	if (snprintf(path, sizeof(path), "/v1/vehicles/%s/devices", vehicle) >= (int)sizeof(path))
		code = cli_usage(&cmd_vehicle, "the vehicle's id is too long");
	else
		code = api_post_json(a, path, body, &answer);
	json_decref(body);
	json_decref(answer);
	return code == EXIT_OK ? vehicle_show(a, o, vehicle) : code;
}

static int run_action(struct api *a, const struct vehicle_options *o, int argc, char **argv)
{
	const char *action = argv[0];
	char *vehicle cleanup(free_ptr) = argc > 1 ? api_escape(argv[1]) : NULL;

	if (strcmp(action, "add") == 0 && argc == 1)
		return vehicle_add(a, o);
	if (strcmp(action, "list") == 0 && argc == 1)
		return vehicle_list(a, o);
	if (strcmp(action, "show") == 0 && argc == 2)
		return vehicle_show(a, o, vehicle);
	if (strcmp(action, "remove") == 0 && argc == 2)
		return api_delete(a, "/v1/vehicles/%s", vehicle);
	if (strcmp(action, "add-device") == 0 && argc == 3)
		return vehicle_add_device(a, o, vehicle, argv[2]);
	return cli_usage(&cmd_vehicle, "'%s' with %d argument(s)", action, argc - 1);
}

static int run(int argc, char **argv)
{
	struct vehicle_options o = {.devices = json_array()};
	struct api *a = NULL;
	int code = parse_options(argc, argv, &o);

	if (code == EXIT_OK && optind >= argc)
		code = cli_usage(&cmd_vehicle, "what to do? add, list, show, remove, add-device");
	if (code == EXIT_OK) {
		a = api_new(o.relay);
		code = a ? run_action(a, &o, argc - optind, argv + optind) : EXIT_USAGE;
	}
	api_free(a);
	json_decref(o.devices);
	return code;
}

const struct cli_command cmd_vehicle = {
	.name = "vehicle",
	.summary = "add, list, show and remove vehicles and their devices",
	.help = "Usage: towline vehicle add [--id ID] [--name TEXT] [--part N] [--device ID]...\n"
		"       towline vehicle list\n"
		"       towline vehicle show VEHICLE\n"
		"       towline vehicle add-device VEHICLE DEVICE\n"
		"       towline vehicle remove VEHICLE\n"
		"\n"
		"The registry says whose batches the relay takes.\n"
		"\n"
		"  --id ID       the vehicle's id (1 to 64 of A-Z a-z 0-9 . _ -); a random UUID if "
		"not\n"
		"                given. Not the VIN: ids stand in topics and logs.\n"
		"  --name TEXT   a label for people\n"
		"  --part N      the partition, 0 to 65535 (default 0)\n"
		"  --device ID   a telematics unit of the vehicle; may be given again\n"
		"  --json        print the relay's answer as JSON\n"
		"  --relay URL   default $TOWLINE_RELAY, else http://127.0.0.1:8080\n",
	.run = run,
};
