#include "tools/cli/value.h"

#include <stdio.h>
#include <stdlib.h>

const char *value_number(double value, char out[static VALUE_TEXT_MAX])
{
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(out, VALUE_TEXT_MAX, "%.*g", digits, value);
		if (strtod(out, NULL) == value)
			break;
	}
	return out;
}

const char *value_text(const json_t *signal, char out[static VALUE_TEXT_MAX])
{
	const char *text = json_string_value(json_object_get(signal, "text"));
	const json_t *value = json_object_get(signal, "value");

	if (text)
		snprintf(out, VALUE_TEXT_MAX, "%s", text);
	else if (json_is_number(value))
		value_number(json_number_value(value), out);
	else
		snprintf(out, VALUE_TEXT_MAX, "-");
	return out;
}
