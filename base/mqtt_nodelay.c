#include "base/mqtt_nodelay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FDS_MAX = 4096 }; /* beyond, nothing is looked at: a call each */

/* Port of the other end of a TCP connection; -1: fd is something else. */
static int peer_port(int fd)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	if (getpeername(fd, (struct sockaddr *)&a, &len) < 0)
		return -1;
	if (a.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&a)->sin_port);
	if (a.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
	return -1;
}

unsigned mqtt_nodelay(int port)
{
	long max = sysconf(_SC_OPEN_MAX);
	unsigned n = 0;

	for (int fd = 0; fd < FDS_MAX && (max < 0 || fd < max); fd++)
		if (peer_port(fd) == port &&
		    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0)
			n++;
	return n;
}
