/* relay/embed.h: files of this folder that the build puts into the program (embed.cmake).
 * Each is text, NUL-terminated. */
#pragma once

extern const char relay_registry_schema_1[];
extern const char relay_registry_schema_2[];
extern const char relay_stream_schema_1[];
extern const char relay_stream_schema_2[];
extern const char relay_stream_schema_3[];
extern const char relay_stream_schema_4[];
extern const char relay_api_openapi[];
