/* Times without any call of OpenSSL that takes a time_t: in Debian 12's on 32-bit ARM that has 32
 * bits, ours has 64. */
#include "relay/pki/internal.h"

#include <stdio.h>
#include <time.h>

int pki_time_get(const ASN1_TIME *t, int64_t *ret_s)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return -EINVAL;
	*ret_s = (int64_t)timegm(&tm);
	return 0;
}

bool pki_time_set(ASN1_TIME *t, int64_t s)
{
	time_t when = (time_t)s;
	char text[20];
	struct tm tm;

	if (!gmtime_r(&when, &tm) || strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm) != 15)
		return false;
	return ASN1_TIME_set_string_X509(t, text) == 1; /* UTCTime where RFC 5280 wants it */
}
