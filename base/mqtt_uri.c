#include "base/mqtt_uri.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_PORT = 1883, DEFAULT_TLS_PORT = 8883 };

static bool port_valid(const char *text)
{
	char *end;
	long port;

	if (*text < '0' || *text > '9')
		return false;
	port = strtol(text, &end, 10);
	return *end == '\0' && port >= 1 && port <= UINT16_MAX;
}

static const char *after_scheme(const char *uri, bool *ret_tls)
{
	static const struct {
		const char *text;
		bool tls;
	} schemes[] = {{"mqtt://", false}, {"tcp://", false}, {"mqtts://", true}};

	for (size_t i = 0; i < array_len(schemes); i++) {
		size_t n = strlen(schemes[i].text);

		if (strncmp(uri, schemes[i].text, n) != 0)
			continue;
		*ret_tls = schemes[i].tls;
		return uri + n;
	}
	return NULL;
}

int mqtt_uri_parse(const char *uri, struct mqtt_uri *ret)
{
	struct mqtt_uri u = {0};
	const char *host = after_scheme(uri, &u.tls), *end, *port;
	bool v6 = host && *host == '[';
	size_t skip = v6 ? 1 : 0, len;

	if (!host || (v6 && u.tls) || strpbrk(host, "/ @?#"))
		return -EINVAL;
	end = v6 ? strchr(host, ']') : host + strcspn(host, ":");
	if (!end || end == host + skip)
		return -EINVAL;
	port = end + skip;
	if (*port != '\0' && (*port != ':' || !port_valid(port + 1)))
		return -EINVAL;
	len = (size_t)(end - host) - skip;
	if (len >= sizeof(u.host))
		return -EINVAL;
	memcpy(u.host, host + skip, len);
	if (*port)
		(void)snprintf(u.place, sizeof(u.place), "%s", host);
	else
		(void)snprintf(u.place, sizeof(u.place), "%s:%d", host,
			       u.tls ? DEFAULT_TLS_PORT : DEFAULT_PORT);
	*ret = u;
	return 0;
}

bool mqtt_uri_is_loopback(const struct mqtt_uri *u)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, u->host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, u->host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6) != 0;
	return strcasecmp(u->host, "localhost") == 0;
}
