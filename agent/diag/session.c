#include "agent/diag/session.h"

#include "agent/diag/isotp_socket.h"

#include <string.h>
#include <sys/socket.h>

enum { SINGLE_FRAME = 7 }; /* classic CAN; what is longer waits for flow control */

static void end(struct diag_session *s, struct diag_result r)
{
	s->active = false;
	loop_timer_cancel(&s->timer);
	r.when = loop_now(s->loop);
	s->ended(s, &r);
}

static void wait(struct diag_session *s, int64_t ns)
{
	loop_timer_in(s->loop, &s->timer, ns);
}

/* The kernel's own verdicts, N_Bs and N_Cr, shall come before ours: they say what was wrong. */
static int64_t answer_time(const struct diag_session *s, size_t request_len)
{
	int64_t ns = s->p2_ns + DIAG_N_CR_MS * NS_PER_MS;

	return request_len > SINGLE_FRAME ? ns + DIAG_N_BS_MS * NS_PER_MS : ns;
}

static bool heard(const struct diag_session *s)
{
	return s->fds.listener >= 0 && isotp_socket_heard(s->fds.listener);
}

bool diag_session_asked_all(const struct diag_session *s)
{
	return s->fds.functional >= 0 && diag_service_is_obd(s->request.service);
}

static int transmit(struct diag_session *s, size_t *ret_len)
{
	uint8_t bytes[DIAG_REQUEST_BYTES];
	size_t len = diag_request_encode(&s->request, bytes);

	*ret_len = len;
	(void)heard(s); /* what belongs to others */
	if (send(diag_session_asked_all(s) ? s->fds.functional : s->fds.main, bytes, len,
		 MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

static void repeat(struct diag_session *s)
{
	size_t len;
	int r = transmit(s, &len);

	s->repeats_next = false;
	if (r == 0)
		wait(s, answer_time(s, len));
	else
		end(s, (struct diag_result){.end = DIAG_END_TRANSPORT, .error = -r});
}

static void on_timer(struct loop_timer *t)
{
	struct diag_session *s = t->ctx;

	if (s->repeats_next)
		repeat(s);
	else if (heard(s) && s->longer++ < DIAG_LONGER_MAX) /* it has begun, and goes on */
		wait(s, DIAG_N_CR_MS * NS_PER_MS);
	else if (s->pendings > 0)
		end(s, (struct diag_result){.end = DIAG_END_PENDING});
	else
		end(s, (struct diag_result){.end = DIAG_END_SILENT});
}

void diag_session_start(struct diag_session *s, struct diag_fds fds)
{
	s->fds = fds;
	s->active = false;
	s->timer = (struct loop_timer){.cb = on_timer, .ctx = s};
}

void diag_session_stop(struct diag_session *s)
{
	s->active = false;
	s->fds = DIAG_FDS_NONE;
	loop_timer_cancel(&s->timer);
}

int diag_session_ask(struct diag_session *s, const struct diag_request *r)
{
	size_t len;
	int e;

	assert(!s->active);
	s->request = *r;
	s->pendings = s->busy = s->longer = 0;
	s->repeats_next = false;
	e = transmit(s, &len);
	if (e == 0)
		wait(s, answer_time(s, len));
	s->active = e == 0;
	return e;
}

static void on_pending(struct diag_session *s)
{
	if (++s->pendings > DIAG_PENDINGS_MAX)
		end(s, (struct diag_result){.end = DIAG_END_PENDING});
	else
		wait(s, s->p2_star_ns + DIAG_N_CR_MS * NS_PER_MS);
}

static void on_busy(struct diag_session *s, uint8_t nrc)
{
	if (++s->busy > DIAG_BUSY_REPEATS) {
		end(s, (struct diag_result){.end = DIAG_END_NEGATIVE, .nrc = nrc});
		return;
	}
	s->repeats_next = true;
	s->pendings = 0;
	wait(s, DIAG_BUSY_WAIT_MS * NS_PER_MS);
}

static void on_payload(struct diag_session *s, size_t len)
{
	uint8_t nrc = 0;

	switch (diag_answer(&s->request, s->data, len, &nrc)) {
	case DIAG_POSITIVE:
		end(s, (struct diag_result){.end = DIAG_END_OK, .data = s->data, .len = len});
		break;
	case DIAG_NEGATIVE:
		end(s, (struct diag_result){.end = DIAG_END_NEGATIVE, .nrc = nrc});
		break;
	case DIAG_PENDING:
		on_pending(s);
		break;
	case DIAG_BUSY:
		on_busy(s, nrc);
		break;
	case DIAG_FOREIGN:
		s->stray(s, s->data, len);
		break;
	case DIAG_MALFORMED:
		end(s, (struct diag_result){.end = DIAG_END_MALFORMED});
		break;
	}
}

/* Returns false when there is nothing left to read, or nobody to read it. */
static bool on_error(struct diag_session *s, int error)
{
	if (error == EAGAIN)
		return false;
	if (error == EINTR)
		return true;
	if (!isotp_socket_error_passes(error)) {
		s->failed(s, error);
		return false;
	}
	if (s->active && !s->repeats_next)
		end(s, (struct diag_result){.end = DIAG_END_TRANSPORT, .error = error});
	return true;
}

static bool read_one(struct diag_session *s)
{
	struct iovec iov = {s->data, sizeof(s->data)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n = recvmsg(s->fds.main, &m, MSG_DONTWAIT);

	if (n < 0)
		return on_error(s, errno);
	if (n == 0) { /* ISO-TP has no empty payload: the other side is gone */
		s->failed(s, ENOTCONN);
		return false;
	}
	(void)heard(s); /* those were this payload's frames */
	if (!s->active || s->repeats_next)
		s->stray(s, s->data, (size_t)n);
	else if (m.msg_flags & MSG_TRUNC)
		end(s, (struct diag_result){.end = DIAG_END_TOO_LONG});
	else
		on_payload(s, (size_t)n);
	return true;
}

void diag_session_readable(struct diag_session *s)
{
	for (int i = 0; i < DIAG_READS_A_TURN && s->fds.main >= 0; i++)
		if (!read_one(s))
			return;
}
