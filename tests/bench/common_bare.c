#include "tests/bench/common_bare.h"

#include "base/mqtt_nodelay.h"
#include "tests/bench/common.h"

#include <MQTTAsync.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RECEIVE_MAXIMUM = 1000, KEEPALIVE_S = 60 };

#define SUBSCRIBER_ARG "--bare-subscriber"

static void send_at_once(const char *uri)
{
	const char *colon = strrchr(uri, ':');

	if (!colon || mqtt_nodelay((int)strtol(colon + 1, NULL, 10)) == 0)
		bench_die("bare client: no connection to %s", uri);
}

/* "mqtt://..." as the rest of us has it; Paho 1.3.12 wants "tcp://...". */
static MQTTAsync create(const char *uri, const char *id, int buffered)
{
	MQTTAsync_createOptions opt = MQTTAsync_createOptions_initializer5;
	MQTTAsync client;
	char paho_uri[128];

	opt.maxBufferedMessages = buffered;
	snprintf(paho_uri, sizeof(paho_uri), "tcp%s", strstr(uri, "://"));
	if (MQTTAsync_createWithOptions(&client, paho_uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL,
					&opt) != MQTTASYNC_SUCCESS)
		bench_die("bare client: cannot create");
	return client;
}

static void on_failure(void *ctx, MQTTAsync_failureData5 *d)
{
	(void)ctx;
	bench_die("bare client: refused: %d, reason 0x%02x", d->code, (unsigned)d->reasonCode);
}

static void on_lost(void *ctx, char *cause)
{
	(void)ctx;
	(void)cause;
	bench_die("bare client: lost the broker");
}

static void connect_client(MQTTAsync client, void *ctx, MQTTAsync_onSuccess5 *connected)
{
	MQTTAsync_connectOptions opt = MQTTAsync_connectOptions_initializer5;
	MQTTProperties props = MQTTProperties_initializer;
	MQTTProperty receive_max = {.identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM,
				    .value.integer2 = RECEIVE_MAXIMUM};

	MQTTProperties_add(&props, &receive_max);
	opt.keepAliveInterval = KEEPALIVE_S;
	opt.cleanstart = 1;
	opt.connectProperties = &props;
	opt.onSuccess5 = connected;
	opt.onFailure5 = on_failure;
	opt.context = ctx;
	if (MQTTAsync_connect(client, &opt) != MQTTASYNC_SUCCESS)
		bench_die("bare client: cannot connect");
	MQTTProperties_free(&props);
}

/* ---- the subscriber's process ---- */

struct counting {
	struct bare_receiver receiver;
	size_t n, left;
};

static void tell(char c)
{
	if (write(STDOUT_FILENO, &c, 1) != 1)
		_exit(EXIT_FAILURE);
}

static int on_message(void *ctx, char *topic, int topic_len, MQTTAsync_message *m)
{
	struct bare_receiver *r = ctx;

	(void)topic_len;
	r->message(r, topic, m->payload, (size_t)m->payloadlen);
	MQTTAsync_freeMessage(&m);
	MQTTAsync_free(topic);
	return 1;
}

static void on_subscribed(void *ctx, MQTTAsync_successData5 *d)
{
	(void)ctx;
	(void)d;
	tell('r');
}

static void on_connected(void *ctx, MQTTAsync_successData5 *d)
{
	struct bare_receiver *r = ctx;
	MQTTAsync_responseOptions opt = MQTTAsync_responseOptions_initializer;

	(void)d;
	send_at_once(r->uri);
	opt.onSuccess5 = on_subscribed;
	opt.onFailure5 = on_failure;
	if (MQTTAsync_subscribe(r->client, r->filter, 1, &opt) != MQTTASYNC_SUCCESS)
		bench_die("%s: cannot subscribe", r->id);
}

void bare_receive(struct bare_receiver *r)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	r->client = create(r->uri, r->id, RECEIVE_MAXIMUM);
	if (MQTTAsync_setCallbacks(r->client, r, on_lost, on_message, NULL) != MQTTASYNC_SUCCESS)
		bench_die("%s: no callbacks", r->id);
	connect_client(r->client, r, on_connected);
	for (;;) {
		if (!r->each_ms)
			pause();
		usleep(1000);
		if (r->each_ms)
			r->each_ms(r);
	}
}

bool bare_send(struct bare_receiver *r, const char *topic, const void *data, size_t len)
{
	MQTTAsync_responseOptions opt = MQTTAsync_responseOptions_initializer;

	return MQTTAsync_send(r->client, topic, (int)len, data, 1, 0, &opt) == MQTTASYNC_SUCCESS;
}

static void count_message(struct bare_receiver *r, const char *topic, const void *data, size_t len)
{
	struct counting *c = (struct counting *)r;

	(void)topic;
	(void)data;
	(void)len;
	if (--c->left == 0) {
		c->left = c->n;
		tell('d');
	}
}

static void subscriber_main(const char *uri, const char *filter, size_t n)
{
	static struct counting c;

	c = (struct counting){.receiver = {.uri = uri,
					   .id = "bare-subscriber",
					   .filter = filter,
					   .message = count_message},
			      .n = n,
			      .left = n};
	bare_receive(&c.receiver);
}

void bare_main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], SUBSCRIBER_ARG) == 0)
		subscriber_main(argv[2], argv[3], strtoul(argv[4], NULL, 10));
}

void bare_subscriber_start(struct bare_subscriber *s, const char *uri, const char *filter, size_t n)
{
	char count[32];
	int fds[2];

	snprintf(count, sizeof(count), "%zu", n);
	if (pipe(fds) < 0)
		bench_die("pipe");
	s->pid = fork();
	if (s->pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		execl("/proc/self/exe", program_invocation_short_name, SUBSCRIBER_ARG, uri, filter,
		      count, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	s->fd = fds[0];
	if (s->pid < 0)
		bench_die("fork");
	bare_subscriber_wait(s);
}

void bare_subscriber_wait(struct bare_subscriber *s)
{
	char c;

	if (read(s->fd, &c, 1) != 1)
		bench_die("the bare subscriber ended");
}

void bare_subscriber_stop(struct bare_subscriber *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	close(s->fd);
}

/* ---- the publisher ---- */

struct bare_publisher {
	MQTTAsync client;
	const char *uri;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	bool connected;
	unsigned in_flight, window;
};

static void on_publisher_connected(void *ctx, MQTTAsync_successData5 *d)
{
	struct bare_publisher *p = ctx;

	(void)d;
	send_at_once(p->uri);
	pthread_mutex_lock(&p->lock);
	p->connected = true;
	pthread_cond_signal(&p->answered);
	pthread_mutex_unlock(&p->lock);
}

static void on_puback(void *ctx, MQTTAsync_successData5 *d)
{
	struct bare_publisher *p = ctx;

	(void)d;
	pthread_mutex_lock(&p->lock);
	if (p->in_flight-- == p->window)
		pthread_cond_signal(&p->answered);
	pthread_mutex_unlock(&p->lock);
}

static int on_no_message(void *ctx, char *topic, int topic_len, MQTTAsync_message *m)
{
	(void)ctx;
	(void)topic_len;
	MQTTAsync_freeMessage(&m);
	MQTTAsync_free(topic);
	return 1;
}

struct bare_publisher *bare_publisher_start(const char *uri, unsigned window)
{
	struct bare_publisher *p = bench_must(calloc(1, sizeof(*p)));

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->answered, NULL);
	p->uri = uri;
	p->window = window;
	p->client = create(uri, "bare-publisher", (int)(2 * window));
	if (MQTTAsync_setCallbacks(p->client, p, on_lost, on_no_message, NULL) != MQTTASYNC_SUCCESS)
		bench_die("bare publisher: no callbacks");
	connect_client(p->client, p, on_publisher_connected);
	pthread_mutex_lock(&p->lock);
	while (!p->connected)
		pthread_cond_wait(&p->answered, &p->lock);
	pthread_mutex_unlock(&p->lock);
	return p;
}

void bare_publish(struct bare_publisher *p, const char *topic, const void *data, size_t len)
{
	MQTTAsync_responseOptions opt = MQTTAsync_responseOptions_initializer;

	pthread_mutex_lock(&p->lock);
	while (p->in_flight == p->window)
		pthread_cond_wait(&p->answered, &p->lock);
	p->in_flight++;
	pthread_mutex_unlock(&p->lock);
	opt.onSuccess5 = on_puback;
	opt.onFailure5 = on_failure;
	opt.context = p;
	if (MQTTAsync_send(p->client, topic, (int)len, data, 1, 0, &opt) != MQTTASYNC_SUCCESS)
		bench_die("bare publisher: cannot send");
}

void bare_publisher_stop(struct bare_publisher *p)
{
	for (unsigned left = 1; left > 0;) {
		pthread_mutex_lock(&p->lock);
		left = p->in_flight;
		pthread_mutex_unlock(&p->lock);
		usleep(1000);
	}
	MQTTAsync_destroy(&p->client);
	pthread_cond_destroy(&p->answered);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
