#include "tests/fakes/ecu.h"

#include <string.h>

enum { POSITIVE = 0x40, NEGATIVE = 0x7F };

struct value {
	uint16_t id;
	uint8_t len;
	uint8_t bytes[20];
};

static const struct value pids[] = {
	{0x01, 4, {0x82, 0x07, 0x65, 0x00}}, /* MIL on, 2 DTCs */
	{0x04, 1, {0x80}},
	{0x05, 1, {0x7B}},	 /* 83 degC */
	{0x0C, 2, {0x1A, 0xF8}}, /* 1726 rpm */
	{0x0D, 1, {0x48}},	 /* 72 km/h */
	{0x0F, 1, {0x41}},
	{0x10, 2, {0x01, 0xF4}}, /* 5 g/s */
	{0x11, 1, {0x33}},
	{0x1F, 2, {0x00, 0x3C}},
	{0x2F, 1, {0xC0}},
	{0x33, 1, {0x65}},
	{0x42, 2, {0x36, 0xB0}}, /* 14 V */
	{0x46, 1, {0x32}},
	{0xA6, 4, {0x00, 0x01, 0xE2, 0x40}}, /* 12345.6 km */
};

static const struct value infos[] = {
	{0x04, 16, "TOWLINE-CAL-0001"}, /* calibration id */
	{0x06, 4, {0xDE, 0xAD, 0xBE, 0xEF}},
	{0x0A, 20, "ECM-TowlineEngineSim"},
};

static const struct value dids[] = {
	{0xF187, 10, "5Q0TOWLINE"}, {0xF18C, 12, "SN0000000042"}, {0xF191, 11, "HW-TOWLINE1"},
	{0xF405, 1, {0x7B}},	    {0xF40C, 2, {0x1A, 0xF8}},	  {0xF40D, 1, {0x48}},
};

static const struct value *find(const struct value *v, size_t n, unsigned id)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].id == id)
			return &v[i];
	return NULL;
}

struct out {
	uint8_t data[ECU_PAYLOAD_MAX];
	size_t len;
};

static void put(struct out *o, const void *data, size_t len)
{
	if (len > sizeof(o->data) - o->len)
		len = sizeof(o->data) - o->len;
	memcpy(o->data + o->len, data, len);
	o->len += len;
}

static void put_byte(struct out *o, unsigned byte)
{
	put(o, &(uint8_t){(uint8_t)byte}, 1);
}

static void put_negative(struct out *o, uint8_t service, uint8_t nrc)
{
	o->len = 0;
	put(o, (const uint8_t[]){NEGATIVE, service, nrc}, 3);
}

/* Which of the 32 ids after a range there are; the last bit: whether another range has any. */
static void put_range(struct out *o, const struct value *v, size_t n, unsigned range)
{
	uint8_t field[4] = {0};

	for (size_t i = 0; i < n; i++) {
		unsigned at = v[i].id > range ? v[i].id - range - 1u : 32;

		if (at < 31)
			field[at / 8] |= (uint8_t)(0x80u >> at % 8);
		else if (v[i].id > range + 0x20u)
			field[3] |= 1;
	}
	put(o, field, sizeof(field));
}

static void current_data(const struct ecu *e, const uint8_t *req, size_t len, struct out *o)
{
	if (e->mute_pid && len > 1 && req[1] == e->mute_pid)
		return;
	put_byte(o, req[0] + POSITIVE);
	for (size_t i = 1; i < len && i < (e->one_at_a_time ? 2 : 7); i++) {
		const struct value *v = find(pids, array_len(pids), req[i]);

		if (v || req[i] % 0x20 == 0)
			put_byte(o, req[i]);
		if (req[i] % 0x20 == 0)
			put_range(o, pids, array_len(pids), req[i]);
		else if (v)
			put(o, v->bytes, v->len);
	}
	if (o->len == 1) /* no PID of these: an ECU on CAN says nothing (SAE J1979 §5.2) */
		o->len = 0;
}

static void vehicle_info(const uint8_t *req, size_t len, struct out *o)
{
	const struct value *v = len == 2 ? find(infos, array_len(infos), req[1]) : NULL;

	if (!v && !(len == 2 && req[1] == 0))
		return;
	put(o, (const uint8_t[]){0x49, req[1], 1}, 3);
	if (v)
		put(o, v->bytes, v->len);
	else
		put_range(o, infos, array_len(infos), 0);
}

static void obd_dtcs(const struct ecu *e, const uint8_t *req, struct out *o)
{
	put_byte(o, req[0] + POSITIVE);
	put_byte(o, e->n_dtcs);
	for (unsigned i = 0; i < e->n_dtcs; i++)
		put(o, (const uint8_t[]){0x03, (uint8_t)(1 + i)}, 2);
}

static bool put_did(struct out *o, const uint8_t *did)
{
	unsigned id = (unsigned)did[0] << 8 | did[1];
	const struct value *v = find(dids, array_len(dids), id);

	if (!v && id != ECU_LONG_DID)
		return false;
	put(o, did, 2);
	if (v)
		put(o, v->bytes, v->len);
	else
		for (unsigned i = 0; i < ECU_LONG_BYTES; i++)
			put_byte(o, i % 251);
	return true;
}

static void read_dids(const struct ecu *e, const uint8_t *req, size_t len, struct out *o)
{
	bool any = false;

	put_byte(o, req[0] + POSITIVE);
	for (size_t i = 1; i + 1 < len; i += 2)
		any |= put_did(o, req + i);
	if (len < 3 || len % 2 == 0 || (e->one_at_a_time && len > 3))
		put_negative(o, req[0], 0x13);
	else if (!any)
		put_negative(o, req[0], 0x31);
}

static void read_dtcs(const struct ecu *e, const uint8_t *req, size_t len, struct out *o)
{
	if (len != 3) {
		put_negative(o, req[0], 0x13);
		return;
	}
	put(o, (const uint8_t[]){0x59, req[1], 0xFF}, 3);
	if (req[1] == 1) {
		put_byte(o, 1);
		put_byte(o, e->n_dtcs >> 8);
		put_byte(o, e->n_dtcs);
	} else if (req[1] == 2) {
		for (unsigned i = 0; i < e->n_dtcs; i++)
			put(o, (const uint8_t[]){0x03, (uint8_t)(1 + i), 0x11, 0x2F & req[2]}, 4);
	} else {
		put_negative(o, req[0], 0x12);
	}
}

static void answer(const struct ecu *e, const uint8_t *req, size_t len, struct out *o)
{
	switch (req[0]) {
	case 0x01:
		current_data(e, req, len, o);
		break;
	case 0x03:
	case 0x07:
	case 0x0A:
		obd_dtcs(e, req, o);
		break;
	case 0x09:
		vehicle_info(req, len, o);
		break;
	case 0x19:
		read_dtcs(e, req, len, o);
		break;
	case 0x22:
		read_dids(e, req, len, o);
		break;
	default:
		put_negative(o, req[0], 0x11);
	}
}

void ecu_request(struct ecu *e, const uint8_t *data, size_t len)
{
	struct out o = {.len = 0};

	e->n_requests++;
	e->last_len = len < sizeof(e->last) ? len : sizeof(e->last);
	memcpy(e->last, data, e->last_len);
	if (e->silent || len == 0)
		return;
	for (unsigned i = 0; i < e->pendings; i++)
		e->send(e, (const uint8_t[]){NEGATIVE, data[0], 0x78}, 3);
	if (e->busy > 0) {
		e->busy--;
		put_negative(&o, data[0], 0x21);
	} else if (e->nrc) {
		put_negative(&o, data[0], e->nrc);
	} else if (e->says_foreign) {
		put(&o, (const uint8_t[]){0x62, 0xDE, 0xAD, 0}, 4);
	} else {
		answer(e, data, len, &o);
	}
	if (o.len > e->cuts)
		e->send(e, o.data, o.len - e->cuts);
}
