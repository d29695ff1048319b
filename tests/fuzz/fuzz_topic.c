/* Any text as a topic; one that parses must format to itself. */
#include "proto/topic.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct topic_up t;
	struct error err;
	char out[TOPIC_MAX];
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (topic_parse_up(text, &t, &err) == 0) {
		topic_format_up(&t, out);
		if (strcmp(out, text) != 0)
			abort();
	}
	free(text);
	return 0;
}
