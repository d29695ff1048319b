#include "agent/diag/delivery.h"

#include <string.h>

int delivery_take(struct delivery *v, const struct diag_request *request,
		  const struct diag_result *r)
{
	int n = diag_split(request, r->data, r->len, v->records);

	delivery_drop(v);
	if (n < 0)
		return n;
	v->request = *request;
	memcpy(v->response, r->data, r->len);
	v->t_ns = r->when.ns;
	v->n = (size_t)n;
	return 0;
}

void delivery_drop(struct delivery *v)
{
	v->n = v->next = 0;
}

bool delivery_is_open(const struct delivery *v)
{
	return v->next < v->n;
}

int delivery_send(struct delivery *v, const struct source_env *env, const struct payload *as)
{
	for (; v->next < v->n; v->next++) {
		struct payload p = *as;

		p.t_ns = v->t_ns;
		p.kind = PAYLOAD_ISOTP;
		p.data = v->payload;
		p.len = diag_record_payload(&v->request, v->response, &v->records[v->next],
					    v->payload);
		if (env->payload(env->ctx, &p) == SOURCE_BUSY)
			return SOURCE_BUSY;
	}
	return 0;
}

const uint8_t *delivery_first(const struct delivery *v, size_t *ret_len)
{
	assert(v->n > 0);
	*ret_len = v->records[0].len;
	return v->response + v->records[0].offset;
}
