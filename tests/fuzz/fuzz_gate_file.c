/* Any text as the file of devices of the gate: what is taken must be found again. */
#include "relay/gate/file.h"
#include "relay/gate/rules.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gate_limit defaults[GATE_CLASSES];
	struct gate_file_notes notes = {0};
	struct gate_table *t = NULL;
	struct error err;
	char *text = malloc(size + 1);

	for (size_t c = 0; c < GATE_CLASSES; c++)
		defaults[c] = GATE_LIMIT_DEFAULT;
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (gate_file_parse(&t, text, size, "fuzz", defaults, &notes, &err) == 0) {
		for (size_t i = 0; i < t->n_devices; i++)
			if (gate_table_device(t, t->devices[i].id) != &t->devices[i] ||
			    gate_device_gets(&t->devices[i], "#"))
				abort();
		gate_table_free(t);
	}
	free(text);
	return 0;
}
